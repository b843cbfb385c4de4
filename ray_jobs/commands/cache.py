"""`neoberta cache`: list the embedding caches of a storage, check them, and remove unused
vectors."""

import re
from datetime import UTC, datetime, timedelta

from cluster.storage import Storage, UserError
from probes.embeddings.upkeep import list_caches, prune_caches, verify_caches
from ray_jobs.commands.look import print_table

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def show_caches(out: str) -> None:
    """Print each encoder's cache under `out`: encoder, texts, views, size, last use. Raises
    UserError where there is none."""
    caches = list_caches(Storage(out))
    if not caches:
        raise UserError(
            f"{out}: no embeddings there; `neoberta embed CONFIG.yaml --out {out}` or"
            " `characterize` makes them"
        )
    now = datetime.now(UTC)
    rows = [
        (
            cache.ref or "(not written down)",
            cache.encoder_fingerprint,
            f"{cache.n_texts:,}",
            str(cache.n_views),
            megabytes(cache.size_bytes),
            "unknown" if cache.last_used_at is None else _age(now - cache.last_used_at),
        )
        for cache in caches
    ]
    print_table(
        "Embedding caches", ("encoder", "fingerprint", "texts", "views", "size", "last used"), rows
    )


def check_caches(out: str) -> int:
    """Read every segment under `out` and print the damaged ones. Returns 0 when all are whole, else
    1."""
    n_whole = n_bytes = n_damaged = 0
    for file, damage in verify_caches(Storage(out)):
        if damage is None:
            n_whole, n_bytes = n_whole + 1, n_bytes + file.size_bytes
        else:
            n_damaged += 1
            print(f"damaged: {damage}")
    print(f"{n_whole:,} segments are whole ({megabytes(n_bytes)})", end="")
    print(
        f", {n_damaged:,} damaged: the next job that needs their texts removes them and encodes"
        " again"
        if n_damaged
        else ""
    )
    return 1 if n_damaged else 0


def prune(out: str, older_than: str, *, dry_run: bool) -> None:
    """Remove the vectors that were not used for `older_than` (`12h`, `30d`, `8w`), and print what
    was removed. Raises UserError."""
    removed = prune_caches(Storage(out), parse_age(older_than), datetime.now(UTC), dry_run=dry_run)
    for file in removed if dry_run else ():
        print(file.key)
    verb = "would be removed" if dry_run else "removed"
    print(f"{len(removed):,} files {verb} ({megabytes(sum(file.size_bytes for file in removed))})")


def parse_age(text: str) -> timedelta:
    """The time that `12h`, `30d` or `8w` says. Raises UserError."""
    found = re.fullmatch(r"(\d{1,5})([hdw])", text.strip())
    if not found:
        raise UserError(
            f"--older-than {text}: write a number of hours, days or weeks, for example 12h, 30d"
            " or 8w"
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"


def _age(age: timedelta) -> str:
    hours = age / timedelta(hours=1)
    return (
        f"{hours / 24:,.0f} days ago"
        if hours >= 48
        else f"{hours:,.0f} hours ago"
        if hours >= 1
        else "this hour"
    )
