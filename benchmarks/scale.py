"""What handing out work costs as a cluster grows: sleeping probes on local clusters of 1, 2, 4
nodes, and the memory of the driver.

    python -m benchmarks.scale [--slots-per-node 16] [--piece-seconds 5]
        [--no-scaling | --no-memory]

A piece of work sleeps as long as its probes would compute, so that two cores can stand for 64
slots. What is measured is the time that Tune and Ray add. The autoscaler starts the nodes.

`efficiency` is the share of the slots' time that is slept, from the moment when every slot has its
worker process to the last result. The handing over of pieces counts, and so does the end, when some
slots have no more work. The start of 64 Python processes on this machine's few cores does not
count, because on a real cluster each node starts its own. It is given as `seconds_until_full`, and
`efficiency_whole` is the efficiency of the whole run. The comparison is a cluster that hands over
work at no cost.

`driver_mb` is the most memory that this process allocates (anonymous resident memory) while 1,000
and 10,000 pieces that do nothing are handed out, each run in a process of its own. It is not the
unique set (USS): pages of libraries that the workers map too are not in it while there are workers,
so it jumps by 50 MB whenever they end.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cluster.local import local_cluster
from cluster.session import session

PROBES_PER_SECOND = 1000
"""Probes that a core fits in a second (benchmarks.sweep)."""
N_NODES = (1, 2, 4)
N_TRIALS = (1_000, 10_000)
PIECES_PER_SLOT = 15
"""A sweep is cut into no more batches than one wave of Tune takes (`probes.sweep.cost`). With this
many pieces for each slot, 64 slots stay below that too."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, nargs="*", default=N_NODES)
    parser.add_argument("--slots-per-node", type=int, default=16)
    parser.add_argument("--piece-seconds", type=float, default=5.0)
    parser.add_argument("--no-scaling", action="store_true")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--drive", nargs=2, metavar=("ADDRESS", "SLOTS"), help=argparse.SUPPRESS)
    parser.add_argument("--trials", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        address, n_slots = options.drive
        print(json.dumps(run_driver(address, int(n_slots), options.piece_seconds)))
        return
    if options.trials:
        print(json.dumps(driver_memory(options.trials)))
        return
    result: dict[str, Any] = {}
    if not options.no_scaling:
        rows = [run_nodes(n, options.slots_per_node, options.piece_seconds) for n in options.nodes]
        print_table("Sleeping probes on local clusters", rows)
        result |= {f"efficiency_{row['slots']}": row["efficiency"] for row in rows}
        result |= {f"probes_per_second_{row['slots']}": row["probes_per_second"] for row in rows}
        result["nodes"] = rows
    if not options.no_memory:
        rows = [in_a_process(f"--trials={n}") for n in N_TRIALS]
        print_table(
            "Memory of the driver",
            [{k: v for k, v in row.items() if k != "driver_mb_by_thousand"} for row in rows],
        )
        result["driver_mb_by_thousand"] = rows[-1]["driver_mb_by_thousand"]
        result |= {f"driver_mb_{row['trials']}_trials": row["driver_mb"] for row in rows}
        result["driver_mb_start"] = rows[0]["driver_mb_start"]
        result["milliseconds_per_trial"] = rows[-1]["milliseconds_per_trial"]
    print(json.dumps(result))


def sleep(config: dict[str, Any]) -> dict[str, Any]:
    """A piece of work that sleeps."""
    start = time.time()
    time.sleep(config["seconds"])
    return {"start": start, "end": time.time(), "worker": os.getpid()}


def do_nothing(_: dict[str, Any]) -> dict[str, Any]:
    """A piece of work that does nothing."""
    return {"n_probes": 0}


def run_nodes(n_nodes: int, slots_per_node: int, piece_seconds: float) -> dict[str, Any]:
    """One sweep of sleeping probes, from no node to its last result. Its driver is a process of its
    own, because Ray decides when it is imported whether it keeps to loopback."""
    with local_cluster(max_nodes=n_nodes, cpus_per_node=slots_per_node) as cluster:
        driver = [
            "--drive",
            cluster.address,
            str(n_nodes * slots_per_node),
            f"--piece-seconds={piece_seconds}",
        ]
        return {"nodes": n_nodes} | in_a_process(*driver, environment=cluster.environment)


def run_driver(address: str, n_slots: int, piece_seconds: float) -> dict[str, Any]:
    """The driver of `run_nodes`."""
    from cluster.tune import fan_out

    pieces = [{"seconds": piece_seconds}] * (n_slots * PIECES_PER_SLOT)
    with session(address):
        started = time.time()
        outcomes = fan_out(sleep, pieces, name="sleep")
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    assert len(results) == len(pieces), next(outcome.error for outcome in outcomes if outcome.error)
    seconds = max(result["end"] for result in results) - started
    return {
        "slots": n_slots,
        "pieces": len(pieces),
        **efficiency(results, n_slots, started),
        "probes_per_second": len(pieces) * piece_seconds * PROBES_PER_SECOND / seconds,
    }


def efficiency(results: list[dict[str, Any]], n_slots: int, started: float) -> dict[str, float]:
    """Shares of the slots' time in which a piece slept: since all workers were there, and since
    `started` (unix seconds)."""
    first_piece: dict[int, float] = {}
    for result in results:
        first_piece[result["worker"]] = min(
            result["start"], first_piece.get(result["worker"], result["start"])
        )
    # a slot that never got a worker counts as idle
    beginnings = sorted(first_piece.values())[:n_slots]
    full, end = beginnings[-1], max(result["end"] for result in results)

    def share(since: float) -> float:
        slept = sum(max(0.0, result["end"] - max(result["start"], since)) for result in results)
        return slept / (n_slots * (end - since))

    return {
        "workers": len(beginnings),
        "efficiency": share(full),
        "efficiency_whole": share(started),
        "seconds_until_full": full - started,
    }


def in_a_process(*arguments: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a part of this benchmark in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.scale", *arguments]
    variables = os.environ | (environment or {})
    output = subprocess.run(
        command, check=True, env=variables, stdout=subprocess.PIPE, text=True
    ).stdout
    return json.loads(output.splitlines()[-1])


def allocated_mb() -> float:
    """Anonymous resident memory of this process (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024 / 1e6


def driver_memory(n_trials: int) -> dict[str, Any]:
    """Memory (MB) of this process before it hands out pieces that do nothing to an embedded Ray,
    and the most while it does."""
    from cluster.tune import fan_out

    largest, n_done, by_thousand = 0.0, 0, []

    def count(_: Any) -> None:
        nonlocal largest, n_done
        n_done += 1
        if n_done % 100 == 0:
            largest = max(largest, allocated_mb())
        if n_done % 1000 == 0:
            by_thousand.append(largest)

    with session():
        fan_out(do_nothing, [{}] * 4, name="warm-up")
        before, started = allocated_mb(), time.perf_counter()
        fan_out(do_nothing, [{"idx": idx} for idx in range(n_trials)], name="memory", on_done=count)
        seconds = time.perf_counter() - started
    return {
        "trials": n_trials,
        "driver_mb_start": before,
        "driver_mb": largest,
        "driver_mb_by_thousand": by_thousand,
        "milliseconds_per_trial": 1000 * seconds / n_trials,
    }


def print_table(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=title, title_justify="left")
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(
            *(
                f"{value:,.3f}" if isinstance(value, float) else f"{value:,}"
                for value in row.values()
            )
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
