"""Where texts are encoded, in this process or by Ray's workers: the place where it should end
first. Only a decision; nothing is measured or started here."""

from dataclasses import dataclass

from meta.report.wording import duration

RAY_START_SECONDS = 20.0
"""From asking for a Ray to the end of its workers' imports and of loading the encoder. Measured on
two cores with a Ray of its own (`docs/benchmarks.md`, "Encoding by Ray"): 18 s where little else
ran, 36 s beside other work. Opening Ray is 5 to 9 s of it. A cluster that is there already saves
these, and its workers still have to start."""


@dataclass(frozen=True)
class Encoding:
    """Texts to encode, and what could do it."""

    seconds_here: float
    """Predicted for this process."""
    n_shards: int
    """The pieces that Ray could hand out. No more workers than these have work."""
    n_units_here: int
    """Cores, or GPUs where there are some, that this process computes with."""
    n_units_ray: int
    """Cores or GPUs of this machine, of which a Ray of its own gives each worker one."""
    is_at_address: bool = False
    """Whether the user names a cluster. How large it is or can become is not known."""


@dataclass(frozen=True)
class Place:
    """Where to encode, and why."""

    is_ray: bool
    why: str
    """For the user: half a line."""


def choose_place(work: Encoding) -> Place:
    """This process, unless Ray should be quicker even though it has to start first.

    On this machine Ray has the same cores. It can only be quicker if this process uses fewer of
    them than there are. On a cluster that the user names, work that takes longer than the start
    goes to the cluster.
    """
    said = f"about {duration(work.seconds_here)} of encoding"
    if work.is_at_address:
        is_long = work.seconds_here > RAY_START_SECONDS
        return Place(is_long, f"{said}: {'on the cluster' if is_long else 'in this process'}")
    n_workers = max(1, min(work.n_units_ray, work.n_shards))
    seconds_by_ray = RAY_START_SECONDS + work.seconds_here * work.n_units_here / n_workers
    if seconds_by_ray < work.seconds_here:
        return Place(True, f"{said} here, {duration(seconds_by_ray)} by Ray: by Ray")
    return Place(False, f"{said}: in this process")
