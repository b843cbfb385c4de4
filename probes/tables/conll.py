"""Columns of CoNLL: a word a line, its tag in the last column, an empty line between sentences."""

from pathlib import Path

from cluster.storage import UserError
from probes.tables.decode import read_text
from probes.tables.table import Table

CONLL = (".conll", ".bio", ".iob")
"""How such files end."""
_DOCUMENT = "-DOCSTART-"


def read_conll(path: Path) -> Table:
    """One row for each sentence, with the columns `tokens` and `tags`. Columns are separated by
    tabs, or by spaces. Lines of `-DOCSTART-`, and those that begin with `# ` and are no word with a
    tag, are left out. Raises UserError."""
    tokens: list[list[str]] = [[]]
    tags: list[list[str]] = [[]]
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.startswith(_DOCUMENT):
            tokens.append([])
            tags.append([])
            continue
        parts = line.split("\t") if "\t" in line else line.split()
        if line.startswith("# ") and (not tokens[-1] or "=" in line):
            continue
        if len(parts) < 2:
            raise UserError(
                f"{path}: line {number}: one column ({line.strip()[:40]!r}); write a word and its"
                " tag, separated by a space or a tab"
            )
        tokens[-1].append(parts[0].strip())
        tags[-1].append(parts[-1].strip())
    kept = [row for row, words in enumerate(tokens) if words]
    return Table(
        {"tokens": [tokens[row] for row in kept], "tags": [tags[row] for row in kept]}, str(path)
    )
