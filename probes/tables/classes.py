"""The classes of a table: which cells are spellings of one label, which say that there is none."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from probes.tables.misspelt import misspelt
from probes.tables.no_label import NUMBERS, codes_among, is_code
from probes.tables.quantity import quantity, quantity_note
from probes.tables.several_labels import several_labels
from probes.tables.spelling import clean, is_fraction, label_key, whole_number
from probes.tables.table import some

MAX_SHOWN = 3


class Classes:
    """The classes of labelled rows; `others` are labels of further rows (other splits) that take
    part in the spelling. A class is named by its commonest spelling.

    `keep_case`: labels that differ in case alone are two. `keep_labels`: labels that are classes
    although they look like a code for none (`NA`, `-1`)."""

    def __init__(
        self,
        labels: Sequence[str | None],
        others: Iterable[str | None] = (),
        *,
        keep_case: bool = False,
        keep_labels: Sequence[str] = (),
    ) -> None:
        self._keep_case = keep_case
        written = Counter(label for label in labels if label is not None)
        shown: Counter[str] = Counter()
        for label, n_rows in written.items():
            shown[whole_number(clean(label))] += n_rows
        shown.pop("", None)
        keep = {clean(label).casefold() for label in keep_labels}
        self._keep = keep
        codes, self.doubtful = codes_among(shown, keep)
        self._codes = {self._key(code) for code in codes}
        self._has_negatives = any(
            label.startswith("-") and label[1:].isdecimal() and label not in NUMBERS
            for label in shown
        )
        spellings: dict[str, Counter[str]] = defaultdict(Counter)
        for label, n_rows in written.items():
            if self._key(label) and self._key(label) not in self._codes:
                spellings[self._key(label)][label] += n_rows
        self._of_train = set(spellings)
        for label, n_rows in Counter(label for label in others if label is not None).items():
            if self._is_label(label):
                spellings[self._key(label)][label] += n_rows
        has_fractions = any(is_fraction(clean(label)) for label in written)
        self._names = {
            key: _name(counts, has_fractions=has_fractions) for key, counts in spellings.items()
        }
        self.notes = self._spelling_notes(spellings) + self._doubt_notes(shown)
        n_rows_of = {self._names[key]: counts.total() for key, counts in spellings.items()}
        several = several_labels(n_rows_of)
        self.quantity = None if several else quantity(n_rows_of)
        """Why the labels can only be a quantity, which has no classes; else None."""
        for note in (several or quantity_note(n_rows_of), misspelt(n_rows_of)):
            if note:
                self.notes.append(note)

    def of(self, label: str | None) -> str | None:
        """The class of a row whose cell is `label`; None where it has none. A label that no
        labelled row has comes back as it is shown."""
        if label is None or not self._is_label(label):
            return None
        return self._names.get(self._key(label)) or clean(label)

    def _key(self, label: str) -> str:
        return label_key(label, keep_case=self._keep_case)

    def _is_label(self, label: str) -> bool:
        key = self._key(label)
        if not key or key in self._codes:
            return False
        if key in self._of_train or key.casefold() in self._keep:
            return True
        return not is_code(key) or (key in NUMBERS and self._has_negatives)

    def _spelling_notes(self, spellings: dict[str, Counter[str]]) -> list[str]:
        several = {key: counts for key, counts in spellings.items() if len(counts) > 1}
        if not several:
            return []
        n_spellings = sum(len(counts) for counts in spellings.values())
        examples = []
        for key, counts in sorted(several.items(), key=lambda item: -sum(item[1].values())):
            name = self._names[key]
            rest = [label for label, _ in counts.most_common() if label != name]
            examples.append(f"{name!r} is also written {some([repr(r) for r in rest], 2)}")
        is_case = len({label_key(clean(s), keep_case=True) for c in spellings.values() for s in c})
        option = "; --keep-case keeps apart what differs in case alone"
        return [
            f"{n_spellings} spellings of labels are {len(spellings)} classes:"
            f" {'; '.join(examples[:MAX_SHOWN])}"
            + (f"; {len(examples) - MAX_SHOWN} more like that" if len(examples) > MAX_SHOWN else "")
            + (option if is_case > len(spellings) else "")
        ]

    def _doubt_notes(self, shown: Counter[str]) -> list[str]:
        return [
            f"label {code!r} counts as a class ({shown[code]} rows): where it means that a row has"
            " no label, leave its cell empty"
            for code in sorted(self.doubtful)
        ]


def unlabelled_note(labels: Sequence[str | None], classes: Classes, what: str) -> str | None:
    """What to say of rows without a class: how many, how they are written, the first; `what`: what
    becomes of them. None where there are none."""
    rows = [row for row, label in enumerate(labels, 1) if classes.of(label) is None]
    if not rows:
        return None
    written = Counter(clean(labels[row - 1] or "") or "empty" for row in rows)
    codes = [code for code, _ in written.most_common() if code != "empty"]
    how = some([f"{code!r}" for code in codes] + (["empty"] if "empty" in written else []))
    keep = f" (--keep-label={codes[0]} makes a class of it)" if codes else ""
    has = "row has" if len(rows) == 1 else "rows have"
    first = f"row {rows[0]}" if len(rows) == 1 else f"the first is row {rows[0]}"
    return f"{len(rows)} {has} no label ({how}; {first}): {what}{keep}"


def _name(counts: Counter[str], *, has_fractions: bool) -> str:
    """The commonest spelling as it is shown; of equally common ones the first in the alphabet."""
    shown: Counter[str] = Counter()
    for label, n_rows in counts.items():
        cleaned = clean(label)
        shown[cleaned if has_fractions else whole_number(cleaned)] += n_rows
    return min(shown, key=lambda name: (-shown[name], name))
