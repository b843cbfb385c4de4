"""CSV and TSV: rows that quotes join, separators, columns without a name."""

import bz2
import csv
import gzip
import lzma
import zipfile
from pathlib import Path

import pytest

from cluster.storage import UserError
from probes.tables.decode import read_text
from probes.tables.file import read_table
from probes.tables.table import Table

TEXTS = [f"the {name} sang number {i}" for i, name in enumerate(("wren", "crow", "robin") * 8)]
LABELS = ["small", "large", "small"] * 8


def written(tmp_path: Path, content: str | bytes, name: str = "rows.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(tmp_path: Path, content: str | bytes, name: str = "rows.csv") -> Table:
    return read_table(written(tmp_path, content, name))


def refused(tmp_path: Path, content: str | bytes, name: str = "rows.csv") -> str:
    with pytest.raises(UserError) as caught:
        read(tmp_path, content, name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    return str(caught.value)


def with_open_quote(separator: str, *, is_label_first: bool = False) -> str:
    """Rows in which a quote opens in row 4 and closes in row 12."""
    lines = []
    for i, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True)):
        cell = {3: f'"{text}', 11: f'{text}"'}.get(i, text)
        lines.append(separator.join((label, cell) if is_label_first else (cell, label)))
    header = ("label", "text") if is_label_first else ("text", "label")
    return "\n".join([separator.join(header), *lines, ""])


@pytest.mark.parametrize("is_label_first", [False, True])
def test_a_tsv_has_no_quoting_where_its_lines_fit_without(tmp_path, is_label_first):
    table = read(tmp_path, with_open_quote("\t", is_label_first=is_label_first), "rows.tsv")
    assert table.n_rows == 24 and table.cells["label"] == LABELS and table.notes == ()
    assert table.cells["text"][3] == f'"{TEXTS[3]}' and table.cells["text"][11] == f'{TEXTS[11]}"'


@pytest.mark.parametrize("is_label_first", [False, True])
def test_a_csv_cell_that_holds_rows_is_refused_with_both_lines(tmp_path, is_label_first):
    message = refused(tmp_path, with_open_quote(",", is_label_first=is_label_first))
    assert "a quote opens on line 5 and closes on line 13" in message
    assert "look like rows of their own" in message


def test_a_quote_in_a_line_of_a_tsv_is_a_character(tmp_path):
    content = 'text\tlabel\nthe 5" nail\tx\n"ten" is a number\ty\nplain\tx\n'
    table = read(tmp_path, content, "rows.tsv")
    assert table.cells["text"] == ['the 5" nail', '"ten" is a number', "plain"]


def test_a_tsv_with_quoting_is_read_with_it(tmp_path):
    rows = [("one\ttab", "x"), ("two\nlines", "y"), ('a "word"', "x")]
    path = tmp_path / "rows.tsv"
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([("text", "label"), *rows])
    table = read_table(path)
    assert list(zip(table.cells["text"], table.cells["label"], strict=True)) == rows
    assert table.notes == (
        "rows.tsv: 4 lines hold 3 rows: quotes join lines, at most lines 3 to 4",
    )


def test_letters_of_several_lines_are_texts_and_the_lines_are_told(tmp_path):
    letters = [
        f'"Dear {text},\nI write, again.\nYours, me",{label}'
        for text, label in zip(TEXTS, LABELS, strict=True)
    ]
    table = read(tmp_path, "\n".join(["text,label", *letters]))
    assert table.n_rows == 24 and "72 lines hold 24 rows" in table.notes[0]


def test_letters_without_any_class_are_texts_too(tmp_path):
    content = "".join(f'"Dear Sir,\nwe thank you,\nand remain, yours",{i}\n' for i in range(9))
    assert read(tmp_path, "text,id\n" + content).n_rows == 9


@pytest.mark.parametrize(
    ("name", "separator", "word"),
    [
        ("rows.csv", ";", "';'"),
        ("rows.csv", "\t", "a tab"),
        ("rows.csv", "|", "'|'"),
        ("rows.tsv", ",", "','"),
        ("rows.tsv", ";", "';'"),
    ],
)
@pytest.mark.parametrize("quote", ["", '"'])
def test_another_separator_that_alone_fits_is_used_and_told(tmp_path, name, separator, word, quote):
    other = "" if separator == "," and not quote else ", "
    lines = [
        ("text", "label"),
        *((f"{text}{other}yes", label) for text, label in zip(TEXTS, LABELS, strict=True)),
    ]
    content = "".join(
        separator.join(f"{quote}{cell}{quote}" for cell in line) + "\r\n" for line in lines
    )
    table = read(tmp_path, "\ufeff" + content, name)
    assert table.cells["label"] == LABELS and table.cells["text"][0] == f"{TEXTS[0]}{other}yes"
    assert table.notes == (f"{name}: the separator seems to be {word}: read with it",)


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;"])
def test_a_first_line_names_the_separator(tmp_path, first):
    table = read(tmp_path, f"{first}\r\ntext;label\r\na, b;x\r\nc;y\r\n")
    assert table.cells == {"text": ["a, b", "c"], "label": ["x", "y"]} and not table.notes
    assert "line 4: 3 cells" in refused(tmp_path, f"{first}\ntext;label\na;x\nb;y;z\n")


def test_columns_without_a_name_are_nobodys(tmp_path):
    assert read(tmp_path, "v1,v2,,,\nx,a,,,\ny,b,,,\n").cells == {
        "v1": ["x", "y"],
        "v2": ["a", "b"],
    }
    table = read(tmp_path, "v1,v2,,\nx,a,rest,\ny,b,,\n")
    assert table.notes == (
        "rows.csv: column 3 has no name and is not read; it has something in 1 row (row 1)",
    )
    assert read(tmp_path, ",text,label\n0,a,x\n1,b,y\n").notes == ()  # pandas' index
    assert "no column has a name" in refused(tmp_path, ",,\na,b,c\n")


def test_separators_behind_the_last_cell_are_no_cells(tmp_path):
    table = read(tmp_path, "text,label\na,x,\nb,y,,\n,,\n")
    assert table.cells == {"text": ["a", "b"], "label": ["x", "y"]}
    assert table.notes == ("rows.csv: 1 line with separators alone: left out",)


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize(("name", "separator"), [("rows.csv", ","), ("rows.tsv", "\t")])
def test_line_ends_of_every_system(tmp_path, end, name, separator):
    content = end.join(separator.join(row) for row in (("text", "label"), ("a", "x"), ("b", "y")))
    assert read(tmp_path, content + end, name).cells == {"text": ["a", "b"], "label": ["x", "y"]}


def test_quotes_as_other_programs_write_them(tmp_path):
    escaped = 'text,label\n"say \\"hi\\", then go",x\nb,y\n'
    assert read(tmp_path, escaped).cells["text"] == ['say "hi", then go', "b"]
    spaced = 'text, label\n"one, two", "x"\n"three", "y"\n'
    assert read(tmp_path, spaced).cells == {"text": ["one, two", "three"], "label": ["x", "y"]}


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (
            "text,label\na,x\nb,y,z\nc,x\nd,y,z\n",
            ["line 3", "2 lines like that (3 and 5)", "put quotes"],
        ),
        ("text,label\na\nb,y\nc,x\n", ["line 2: 1 cells under 2", "fill in the missing cells"]),
        ("My survey\na,x\nb,y\nc,x\nd,y\n", ["every line below the first has 2"]),
        ("PK\x03\x04 and more", ["a zip archive or an Excel workbook", ".xlsx"]),
    ],
)
def test_a_remedy_fits_the_file(tmp_path, content, parts):
    message = refused(tmp_path, content)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path, encoding, name):
    content = "text,label\nça va,x\nnaïf,y\n"
    if name == "rows.jsonl":
        content = '{"text": "ça va", "label": "x"}\n{"text": "naïf", "label": "y"}\n'
    cells = {"text": ["ça va", "naïf"], "label": ["x", "y"]}
    assert read(tmp_path, content.encode(encoding), name).cells == cells
    assert read(tmp_path, ("\ufeff" + content).encode("utf-8-sig"), name).cells == cells


def test_utf_16_without_a_mark_is_told(tmp_path):
    content = "text,label\n" + "a text,x\n" * 9
    for encoding, name in (("utf-16-le", "UTF-16LE"), ("utf-16-be", "UTF-16BE")):
        message = refused(tmp_path, content.encode(encoding))
        assert f"iconv -f {name} -t UTF-8 rows.csv > new.csv" in message


@pytest.mark.parametrize("quote", ["'", "'' escaped"])
def test_cells_between_apostrophes_are_read_without_them(tmp_path, quote):
    mark = "''" if quote == "'" else "\\'"
    lines = [
        f"'{text}, isn{mark}t it','{label}'" for text, label in zip(TEXTS, LABELS, strict=True)
    ]
    for header in ("text,label", "'text','label'"):
        table = read(tmp_path, "\n".join([header, *lines]))
        assert table.cells["label"] == LABELS
        assert table.cells["text"][0] == f"{TEXTS[0]}, isn't it"
        assert table.notes == ("rows.csv: cells stand between ' and ': read so",)


def test_apostrophes_are_no_part_of_cells_under_names_without_them(tmp_path):
    lines = [f"'{text}','{label}'" for text, label in zip(TEXTS, LABELS, strict=True)]
    table = read(tmp_path, "\n".join(["text,label", *lines]))
    assert table.cells == {"text": TEXTS, "label": LABELS}


def test_an_apostrophe_in_a_text_is_a_character(tmp_path):
    content = "text,label\n'tis late,x\nit's 'me',y\n'all of it',x\n"
    assert read(tmp_path, content).cells["text"] == ["'tis late", "it's 'me'", "'all of it'"]


def test_lines_that_stand_in_quotes_as_a_whole_are_read_without_them(tmp_path):
    inner = [f'{text},""yes, it did"",{label}' for text, label in zip(TEXTS, LABELS, strict=True)]
    table = read(tmp_path, "\n".join(f'"{line}"' for line in ["text,answer,label", *inner]))
    assert table.cells == {"text": TEXTS, "answer": ["yes, it did"] * 24, "label": LABELS}
    assert table.notes == ("rows.csv: every line stands in quotes as a whole: read without them",)


def test_files_that_were_put_one_behind_the_other(tmp_path):
    part = "text,label\na,x\nb,y\n"
    table = read(tmp_path, part + part)
    assert table.cells == {"text": ["a", "b"] * 2, "label": ["x", "y"] * 2}
    assert table.notes == ("rows.csv: 1 line with the column names once more (line 4): left out",)


def test_a_txt_with_tabs_is_a_table(tmp_path):
    cells = {"text": ["a, b", "c"], "label": ["x", "y"]}
    unicode_text = "text\tlabel\r\na, b\tx\r\nc\ty\r\n".encode("utf-16")
    assert read(tmp_path, unicode_text, "rows.txt").cells == cells
    assert "where tabs stand between its columns" in refused(tmp_path, "text,label\n", "rows.txt")


@pytest.mark.parametrize(
    ("content", "name", "part"),
    [
        ("<!DOCTYPE html>\n<p>Sign in</p>", "rows.csv", "is a web page"),
        ("version https://git-lfs.github.com/spec/v1\n", "rows.parquet", "git lfs pull"),
    ],
)
def test_what_stands_in_the_place_of_a_file(tmp_path, content, name, part):
    assert part in refused(tmp_path, content, name)


def test_a_path_that_is_no_file(tmp_path):
    near = written(tmp_path, "text,label\na,x\n", "reviews.tsv")
    with pytest.raises(UserError, match=f"did you mean {near}"):
        read_table(tmp_path / "reviews.csv")
    with pytest.raises(UserError, match="is a folder, not a file; give one of its files: reviews"):
        read_table(tmp_path)
    with pytest.raises(UserError, match="is an address, not a file on this machine; download it"):
        read_table("https://example.org/rows.csv")


def test_bytes_of_other_encodings(tmp_path):
    good = "text,label\nça va,x\nnaïf,y\n".encode()
    message = refused(tmp_path, good + "été,x\n".encode("latin-1"))
    assert "line 4 alone" in message and "2 other lines are UTF-8" in message
    assert "iconv" not in message
    two = refused(tmp_path, good + "été,x\nété,x\n".encode("latin-1"))
    assert "lines 4 and 5 alone are" in two
    western = refused(tmp_path, "text,label\nun été très beau,x\n".encode("cp1252"))
    assert "iconv -f WINDOWS-1252" in western
    russian = refused(tmp_path, "text,label\nлето,x\nзима,y\n".encode("cp1251"))
    assert "iconv" not in russian and "2 lines in an encoding that is not told" in russian


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip"])
def test_a_file_that_unpacks_to_more_than_memory_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    path, table = tmp_path / f"rows.csv{suffix}", b"text,label\n" + b"a text,a\nanother,b\n" * 50
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../../rows.csv", table)
    else:
        path.write_bytes(pack[suffix](table))
    assert len(read_text(path)) == len(table), "and no name in an archive is a path"
    monkeypatch.setattr("probes.tables.decode.MAX_UNPACKED_BYTES", 500)
    with pytest.raises(UserError, match="unpacks to more than 500 bytes"):
        read_text(path)
    assert list(tmp_path.iterdir()) == [path]
