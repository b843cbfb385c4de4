"""Hugging Face data sets: tables in memory, and folders that `save_to_disk` wrote. No code of
a data set is run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster.storage import UserError
from neoberta.extras import need
from probes.tables.table import Table, some

_STATE, _SPLITS = "state.json", "dataset_dict.json"


def is_saved_dataset(folder: Path) -> bool:
    """Whether `save_to_disk` wrote the folder: one table, or a folder for each split."""
    return (folder / _STATE).is_file() or (folder / _SPLITS).is_file()


def load_saved(folder: Path) -> Any:
    """The `datasets.Dataset` or `DatasetDict` in the folder. Raises UserError."""
    need("study", f"{folder}: a folder that `save_to_disk` wrote")
    import datasets

    try:
        return datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{folder}: not a whole saved data set ({reason:.160}); save it again"
        ) from error


def read_saved(folder: Path) -> Table:
    """The one table in the folder. Raises UserError, which names the splits where there are
    several."""
    data = load_saved(folder)
    if isinstance(data, dict):
        names = sorted(data, key=lambda name: (name != "train", name))
        raise UserError(
            f"{folder}: a saved data set with the splits {some(names, 5)}; give one of them:"
            f" {folder / names[0]}"
        )
    return Table(columns_of_dataset(data), str(folder))


def columns_of_dataset(data: Any, only: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """Column name -> cells of a `datasets.Dataset`, of the columns in `only` where it is given;
    class labels as their names, -1 as None."""
    cells = {}
    for name in data.column_names if only is None else only:
        values = data.with_format(None)[name][:]
        feature = data.features.get(name)
        names = getattr(feature, "names", None)
        inner = getattr(getattr(feature, "feature", None), "names", None)
        if names is not None:
            values = [_name(value, names) for value in values]
        elif inner is not None:  # a list of class labels in each cell
            values = [[_name(value, inner) for value in listed or ()] for listed in values]
        cells[name] = values
    return cells


def _name(value: Any, names: Sequence[str]) -> str | None:
    """The name of the class `value`; None for what is no class."""
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
