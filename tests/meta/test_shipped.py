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
    assert len(model.card["tasks"]) >= 8 and len(model.card["encoders"]) >= 5
    assert all(task.startswith("docs/") for task in model.card["tasks"])
    assert set(model.card["evaluation"]["mae_points"]) >= {"1x", "4x", "16x"}


def test_only_numbers_are_shipped_and_few():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 20e6
    assert {path.name for path in FOLDER.iterdir()} == {"card.json", "trees.ubj", "manifest.json"}
