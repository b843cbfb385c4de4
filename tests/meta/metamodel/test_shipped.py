"""The metamodels that ship are complete, small and of this version, and the shipped observations
give the same ones again."""

import numpy as np
import pytest

from cluster.storage import Storage
from meta.metamodel.fitting import FitSettings
from meta.metamodel.model import Metamodel
from meta.metamodel.shipped_observations import FILE, shipped_observations
from meta.metamodel.stored import shipped_folder
from meta.metric import MEDIAN, Metric

FOLDER = shipped_folder()
MODEL_FILES = {"card.json", "trees.ubj", "manifest.json"}


@pytest.mark.parametrize("metric", Metric)
def test_the_shipped_metamodel_loads_and_says_where_it_comes_from(metric):
    Storage(FOLDER).verify_folder(metric)
    model = Metamodel.load(FOLDER / metric)
    assert model.metric == metric
    assert (
        len(model.card["tasks"]) >= 60
        and len(model.card["task_families"]) >= 40
        and len(model.card["encoders"]) >= 4
    )
    assert not any(
        "/" in name
        for name in [
            *model.card["encoders"],
            *(task.removeprefix("docs/") for task in model.card["tasks"]),
        ]
    )
    assert set(model.card["evaluation"]["mae_points"]) >= {"1x", "4x", "16x"}


def test_the_prior_of_spaces_ships_with_the_metamodel_of_accuracy():
    model = Metamodel.load(FOLDER / "accuracy")
    assert len(model.view_prior.names) >= 40
    assert len({name.partition("#")[0] for name in model.view_prior.names}) >= 6


def test_only_numbers_are_shipped_and_few():
    files = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert sum((FOLDER / name).stat().st_size for name in files) < 20e6
    models = {f"{metric}/{name}" for metric in Metric for name in MODEL_FILES}
    assert files == models | {"accuracy/view_prior.json", FILE}
    frame = shipped_observations(Metric.ACCURACY)
    assert set(frame.select_dtypes(exclude="number").columns) <= {
        *(
            "task",
            "task_fingerprint",
            "task_family",
            "encoder",
            "encoder_fingerprint",
            "pooling",
            "subset",
        )
    }
    assert frame["task"].str.len().max() < 40, "names, no texts"


@pytest.mark.parametrize("metric", Metric)
def test_every_shipped_metamodel_knows_the_observations_that_ship(metric):
    frame = shipped_observations(metric)
    model = Metamodel.load(FOLDER / metric)
    assert len(frame) == model.card["n_observations"] and set(frame["task"]) == set(
        model.card["tasks"]
    )
    quantiles = model.predict(frame.sample(200, random_state=0))
    assert np.isfinite(quantiles).all() and (np.diff(quantiles, axis=1) >= 0).all()


@pytest.mark.slow
def test_anyone_can_make_the_shipped_metamodel_again():
    frame, stored = shipped_observations(Metric.ACCURACY), Metamodel.load(FOLDER / "accuracy")
    again = Metamodel.fit(frame, settings=FitSettings(**stored.card["settings"]))
    rows = frame.sample(500, random_state=1)
    assert again.predict(rows)[:, MEDIAN] == pytest.approx(
        stored.predict(rows)[:, MEDIAN], abs=1e-4
    )
