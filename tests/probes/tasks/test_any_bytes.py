"""Whatever lies in a file: rows, or one line about it; never fewer rows than lines untold."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cluster.storage import UserError
from probes.tables.file import read_table
from probes.tasks.read import Columns, labelled_rows

PIECES = [
    *("text", "label", "good", "bad", "0", "1.0", "-1", "NA", "True", "a, b", "é", "\u200b", " "),
    *(
        ",",
        "\t",
        ";",
        "|",
        '"',
        '""',
        "\n",
        "\r\n",
        "\r",
        "'",
        "\\",
        "#",
        "sep=;",
        "\x00",
        "\ufeff",
    ),
    *("{", "}", "[", "]", ":", '{"text": "a", "label": "x"}', '{"text": "b", "label": 1}', "null"),
    *("text,label\n", "text\tlabel\n", "NaN", "__label__x", "\ud7ff", "\u2028"),
]
BYTES = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(PIECES), max_size=40).map(lambda pieces: "".join(pieces).encode()),
    st.tuples(
        st.sampled_from([b"text,label\n", b"text\tlabel\n", b'{"text": "a", "label": "x"}\n']),
        st.lists(st.sampled_from(PIECES), max_size=40),
    ).map(lambda parts: parts[0] + "".join(parts[1]).encode()),
)


def lines_of_rows(text: str, suffix: str) -> int:
    """Lines that hold something, without the header of a CSV or TSV."""
    if suffix == ".jsonl":
        return sum(bool(line.strip()) for line in text.split("\n"))
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line]
    return len(lines) - 1 - lines[0].strip().lower().startswith(("sep=", '"sep='))


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
@given(content=BYTES)
@example(content=b'"\x00\t\x01\n\x00\t\n"')  # one cell of three lines, not three quoted lines
def test_any_bytes_end_in_rows_or_in_one_line(tmp_path: Path, suffix: str, content: bytes):
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(content)
    try:
        table = read_table(path)
    except UserError as error:
        assert "\n" not in str(error) and "\r" not in str(error)
        return
    if table.n_rows < lines_of_rows(content.decode("utf-8-sig"), suffix):
        told = ("lines hold", "separators alone", "column names once more")
        assert any(part in note for note in table.notes for part in told)
    try:
        found = labelled_rows(table, Columns())
    except UserError as error:
        assert "\n" not in str(error) and "\r" not in str(error)
        return
    assert len(set(found.labels)) > 1 and len(found.texts) == len(found.labels)
    assert all(label and label == label.strip() for label in found.labels)
    if len(found.rows) < table.n_rows:
        assert any("no label" in note for note in found.notes)


CELLS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12
).filter(lambda text: text.strip())


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(CELLS, st.sampled_from(["x", "y", "Z z", "10"])), min_size=1, max_size=9
    )
)
def test_what_is_written_well_is_read_back(tmp_path: Path, rows: list[tuple[str, str]]):
    import csv

    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        path = tmp_path / f"rows{suffix}"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
            writer.writerows([("text", "label"), *rows])
        try:
            table = read_table(path)
        except UserError as error:  # a text that looks like rows of the file
            assert "look like rows of their own" in str(error)
            continue
        assert list(zip(table.cells["text"], table.cells["label"], strict=True)) == rows
    path = tmp_path / "rows.jsonl.gz"
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert read_table(path).cells["text"] == [text for text, _ in rows]
