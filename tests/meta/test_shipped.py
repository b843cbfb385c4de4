"""The metamodel that ships is whole, of this version, and small."""

from pathlib import Path

import meta
from cluster.storage import Storage
from meta.metamodel import Metamodel

FOLDER = Path(meta.__file__).parent / "shipped"


def test_the_shipped_metamodel_loads_and_says_where_it_comes_from():
    Storage(FOLDER.parent).verify_folder("shipped")
    model = Metamodel.load(FOLDER)
    assert model.metric == "accuracy"
    assert len(model.card["tasks"]) >= 60 and len(model.card["task_families"]) >= 40 and len(model.card["encoders"]) >= 4
    assert not any(
        "/" in name for name in [*model.card["encoders"], *(task.removeprefix("docs/") for task in model.card["tasks"])]
    )
    assert set(model.card["evaluation"]["mae_points"]) >= {"1x", "4x", "16x"}
    assert len(model.view_prior.names) >= 40
    assert len({name.partition("#")[0] for name in model.view_prior.names}) >= 6


def test_only_numbers_are_shipped_and_few():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 20e6
    assert {path.name for path in FOLDER.iterdir()} == {"card.json", "trees.ubj", "view_prior.json", "manifest.json"}
