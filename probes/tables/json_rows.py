"""JSON Lines, and JSON documents that are a list of objects or an object of columns."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cluster.storage import UserError
from probes.tables.decode import read_text
from probes.tables.table import Table, some

_FORM = '{"text": ..., "label": ...}'


def read_json_lines(path: Path) -> Table:
    """One object a line; a file that is one JSON list all the same is read as that. Raises
    UserError."""
    text = read_text(path)
    lines = text.split("\n" if "\n" in text else "\r")
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            whole = None if rows else _document(text)
            if whole is not None:
                return Table(whole, str(path))
            raise UserError(
                f"{path}: line {number}: not JSON ({error}); write one object on each line"
            ) from error
        if not isinstance(row, dict):
            whole = None if rows else _document(text)
            if whole is not None:
                return Table(whole, str(path))
            raise UserError(f"{path}: line {number}: not an object; write {_FORM} on each line")
        rows.append(row)
    return Table(columns_of(rows), str(path))


def read_json(path: Path) -> Table:
    """A list of objects, an object of columns (as pandas writes it), or one object a line. Raises
    UserError."""
    text = read_text(path)
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        is_lines = text.count("\n") and _is_object(text.lstrip().split("\n")[0])
        if is_lines:
            return read_json_lines(path)
        raise UserError(
            f"{path}: not JSON ({error}); write a list of objects like {_FORM}"
        ) from error
    _refuse_splits(json.loads(text), path)
    cells = _document(text)
    if cells is None:
        return read_json_lines(path) if _is_object(text) else _refuse(path)
    return Table(cells, str(path))


def _refuse_splits(document: Any, path: Path) -> None:
    """Raises UserError where an object holds several lists of rows."""
    if not isinstance(document, dict) or len(document) < 2 or "data" in document:
        return
    values = document.values()
    if all(isinstance(v, list) and v and isinstance(v[0], dict) for v in values):
        raise UserError(
            f"{path}: has several lists of rows ({some(list(document))}); write each into a file"
            " of its own"
        )


def _refuse(path: Path) -> Table:
    raise UserError(
        f"{path}: neither a list of objects nor an object of columns; write a list of objects"
        f" like {_FORM}"
    )


def columns_of(rows: Iterable[Mapping[Any, Any]]) -> dict[str, list[Any]]:
    """Column name -> cells of rows; a row that lacks a column has None there."""
    cells: dict[str, list[Any]] = {}
    for n_rows, row in enumerate(rows):
        named = {str(name): value for name, value in row.items()}
        for name in named:
            cells.setdefault(name, [None] * n_rows)
        for name, values in cells.items():
            values.append(named.get(name))
    return cells


def _document(text: str) -> dict[str, list[Any]] | None:
    """Columns of a JSON document; None where it is no table."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(document, dict) and (len(document) == 1 or "data" in document):
        only = document.get("data", next(iter(document.values())))  # {"data": [...]}
        if isinstance(only, list) and only and all(isinstance(row, dict) for row in only):
            document = only
    if isinstance(document, list) and document and all(isinstance(r, dict) for r in document):
        return columns_of(document)
    return _document_of_columns(document) if isinstance(document, dict) else None


def _document_of_columns(document: dict[str, Any]) -> dict[str, list[Any]] | None:
    values = list(document.values())
    if set(document) == {"columns", "index", "data"}:  # pandas' orient="split"
        names, rows = document["columns"], document["data"]
        if all(isinstance(row, list) and len(row) == len(names) for row in rows):
            return columns_of(dict(zip(names, row, strict=True)) for row in rows)
    if values and all(isinstance(column, list) for column in values):
        return document if len({len(column) for column in values}) == 1 else None
    if values and all(isinstance(column, dict) for column in values):
        index = list(values[0])  # pandas: {"text": {"0": ...}}
        if len(index) < len(values) and not any(name.isdecimal() for name in index):
            return columns_of(values)  # pandas' orient="index": {"0": {"text": ...}}
        if index and all(list(column) == index for column in values):
            return {name: list(column.values()) for name, column in document.items()}
    return None


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
