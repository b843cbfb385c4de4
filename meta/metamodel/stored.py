"""Loading of a stored metamodel: the user's own, or the one that ships."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.storage import MANIFEST, CorruptArtefactError, Storage, UserError
from meta.metric import Metric

if TYPE_CHECKING:
    from meta.metamodel.model import Metamodel


def load_metamodel(folder: str | None, metric: Metric = Metric.ACCURACY) -> tuple["Metamodel", str]:
    """A metamodel and its name: the one in `folder` (path or URI), or the one for `metric` that
    ships where `folder` is None. Raises UserError where there is none, where it is of another
    version or damaged, and where it cannot be read."""
    from meta.metamodel.model import Metamodel

    # the full path: `.` has a name and a parent too
    place = Storage(folder or str(shipped_folder() / metric)).uri.rstrip("/")
    parent, _, name = place.rpartition("/")
    try:
        storage = Storage("/" if place.startswith("/") and not parent else parent)
        if name in ("", ".", "..") or not storage.exists(f"{name}/card.json"):
            if folder is None:
                raise UserError(
                    f"no metamodel of {metric} ships with this build; give one made by `neoberta"
                    " fit` as --metamodel FOLDER"
                )
            raise UserError(
                f"--metamodel {place or '/'}: no metamodel there; give the folder that `neoberta"
                " fit` wrote"
            )
        if storage.exists(f"{name}/{MANIFEST}"):
            storage.verify_folder(name)
        model = Metamodel.load(storage.local_path(name))
    except CorruptArtefactError as error:
        if folder is None:
            raise UserError(f"{error}; it ships with neoberta: install that again") from error
        raise UserError(f"--metamodel {error}; make it again with `neoberta fit`") from error
    except OSError as error:
        reason = (error.strerror or str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"--metamodel {place}: cannot be read ({reason:.200}); give a folder on this machine"
        ) from error
    return model, "shipped" if folder is None else name


def shipped_folder() -> Path:
    """The folder of the package that holds a folder for the metamodel of each metric, and the
    shipped observations."""
    return Path(str(files("meta") / "shipped"))
