"""The train/test split of a source that has none. It is made by a hash of the text, stratified by
class."""

import hashlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence

from probes.tasks.task import PAIR_SEPARATOR

TEST_SHARE = 0.25


def text_key(text: str, pair: str | None) -> str:
    """Hex digest of a text or pair, by which rows are ordered. Texts that differ only in case and
    spaces have the same one."""
    content = PAIR_SEPARATOR.join(" ".join(part.lower().split()) for part in (text, pair or ""))
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def split_rows(
    texts: Sequence[str], pairs: Sequence[str] | None, labels: Sequence[str], source: str
) -> tuple[list[int], list[int]]:
    """(train rows, test rows), each in the order of the hash. About a quarter of each class is
    test. The content alone decides.

    Rows with the same text are on the same side. A class with a single distinct text stays in train
    and cannot be tested. A UserWarning names it and `source`."""
    keys = [
        text_key(text, pairs[row] if pairs is not None else None) for row, text in enumerate(texts)
    ]
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        rows_of[key].append(row)
    # a text with several labels counts as a text of the commonest one
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
