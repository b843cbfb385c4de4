"""Lines as fastText reads them: `__label__x some text`, one row a line, no header."""

import re

PREFIX = "__label__"
_LINE = re.compile(rf"((?:{PREFIX}[^\s,]+[\s,]+)+)(.*)")


def fasttext_columns(text: str) -> dict[str, list[str]] | None:
    """The columns `text` and `label` of such lines, a row's labels with commas between them; None
    where some line is none."""
    if not text.lstrip().startswith(PREFIX):
        return None
    lines = [line.strip() for line in re.split(r"\r\n|\n|\r", text)]
    found = [_LINE.fullmatch(line) for line in lines if line]
    rows = [row for row in found if row is not None]
    if len(rows) < len(found):
        return None
    labels = [
        ",".join(label.removeprefix(PREFIX) for label in re.split(r"[\s,]+", row[1].strip(" \t,")))
        for row in rows
    ]
    return {"text": [row[2] for row in rows], "label": labels}
