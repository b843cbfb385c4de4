"""A train/test split for sources that come without one: by a hash of the text, stratified by
class."""

import hashlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence

from probes.tasks.task import PAIR_SEPARATOR

TEST_SHARE = 0.25


def text_key(text: str, pair: str | None) -> str:
    """Hex digest that orders rows; equal for equal texts up to case and spacing."""
    content = PAIR_SEPARATOR.join(" ".join(part.lower().split()) for part in (text, pair or ""))
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def split_rows(
    texts: Sequence[str], pairs: Sequence[str] | None, labels: Sequence[str], source: str
) -> tuple[list[int], list[int]]:
    """(train rows, test rows), each in hash order: about a quarter of each class for test, decided
    by the content alone.

    All rows with one text lie on one side. A class with a single distinct text stays in train, with
    a UserWarning that names it and `source`: it can be learnt from but not tested."""
    keys = [
        text_key(text, pairs[row] if pairs is not None else None) for row, text in enumerate(texts)
    ]
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        rows_of[key].append(row)
    # a text with several labels counts for its commonest one
    groups: dict[str, list[str]] = defaultdict(list)
    for key in sorted(rows_of):
        counts = Counter(labels[row] for row in rows_of[key])
        groups[min(counts, key=lambda label: (-counts[label], label))].append(key)
    test_keys: set[str] = set()
    single = []
    for label, members in sorted(groups.items()):
        if len(members) == 1:
            single.append(label)
        else:
            test_keys.update(members[: max(1, round(TEST_SHARE * len(members)))])
    if single:
        names = ", ".join(repr(label) for label in single[:5]) + (
            ", ..." if len(single) > 5 else ""
        )
        warnings.warn(
            f"{source}: {len(single)} of the classes ({names}) have a single row; kept in train,"
            " absent from test: add rows",
            UserWarning,
            stacklevel=2,
        )
    order = sorted(range(len(keys)), key=lambda row: (keys[row], row))
    return [row for row in order if keys[row] not in test_keys], [
        row for row in order if keys[row] in test_keys
    ]
