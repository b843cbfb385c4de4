import json

import numpy as np
import pandas as pd
import pytest
from synthetic_observations import observations

from cluster.storage import CorruptArtefactError, Storage, UserError
from meta.metamodel.inputs import anchor
from meta.metamodel.model import CARD_FILE, TREES_FILE, Metamodel
from meta.metamodel.observations import power_law_forecasts
from meta.metric import MEDIAN, Metric


@pytest.fixture(scope="module")
def frame():
    return observations()


@pytest.fixture(scope="module")
def model(frame):
    return Metamodel.fit(frame)


@pytest.fixture(scope="module")
def unseen():
    return observations(n_tasks=6, seed=99)


def sample_of(frame, row=0):
    return frame.iloc[row].drop(labels=["truth", "truth_std", "n_truth", "horizon"]).to_dict()


def test_forecasts_of_unseen_tasks_beat_carrying_the_present_forward(model, unseen):
    median = model.predict(unseen)[:, MEDIAN]
    far = (unseen["horizon"] >= 4 * unseen["n_train"]).to_numpy()
    error = np.abs(median - unseen["truth"])[far].mean()
    carried = np.abs(unseen["ridge_loo_accuracy"] - unseen["truth"])[far].mean()
    anchored = np.abs(
        anchor(unseen, power_law_forecasts(unseen, Metric.ACCURACY), Metric.ACCURACY)
        - unseen["truth"]
    )[far].mean()
    assert error < 0.5 * carried
    assert error < 1.1 * anchored


def test_ranges_hold_the_truth_of_unseen_tasks(model, unseen):
    quantiles = model.predict(unseen)
    inside = (unseen["truth"] >= quantiles[:, 0]) & (unseen["truth"] <= quantiles[:, -1])
    assert inside.mean() >= 0.8


def test_quantiles_are_sorted_bounded_and_rise_with_the_horizon(model, unseen):
    shuffled = unseen.sample(frac=1.0, random_state=0)
    quantiles = model.predict(shuffled)
    assert np.all(np.diff(quantiles, axis=1) >= 0)
    assert quantiles.min() >= 0 and quantiles.max() <= 1
    columns = ["task", "layer", "n_train", "seed"]
    ordered = shuffled[[*columns, "horizon"]].reset_index(drop=True).join(pd.DataFrame(quantiles))
    steps = (
        ordered.sort_values([*columns, "horizon"]).groupby(columns)[list(range(5))].diff().dropna()
    )
    assert steps.to_numpy().min() >= -1e-12


def test_a_curve_is_the_prediction_of_its_rows(model, unseen):
    curve = model.curve(sample_of(unseen), [64, 128, 256])
    assert curve.shape == (3, 5)
    rows = unseen.iloc[:3].drop(columns=["truth", "truth_std", "n_truth"])
    assert curve == pytest.approx(model.predict(rows))


def test_log_loss_falls_with_the_horizon(frame):
    losses = frame.assign(truth=2 * (1 - frame["truth"]))
    curve = Metamodel.fit(losses, metric=Metric.LOG_LOSS).curve(sample_of(frame), [64, 256, 1024])
    assert np.all(np.diff(curve, axis=0) <= 1e-12)
    assert np.all(np.diff(curve, axis=1) >= 0)


def test_pure_noise_in_the_features_is_not_trusted():
    """The truth is the anchor plus noise. So there is nothing to learn from these eight tasks, and
    nothing is learnt."""
    frame = observations(seed=5)
    rng = np.random.default_rng(0)
    noisy = frame.assign(
        truth=np.clip(
            anchor(frame, power_law_forecasts(frame, Metric.ACCURACY), Metric.ACCURACY)
            + rng.normal(size=len(frame)) * 0.03,
            0,
            1,
        )
    )
    assert max(Metamodel.fit(noisy).trust) <= 0.5


def test_outside_the_range_it_says_so_and_widens(model, frame):
    inside, far = sample_of(frame), sample_of(frame) | {"n_classes": 64.0}
    assert model.outside(inside) == []
    assert model.outside(far) == ["64 classes, learnt from 4 to 4"]
    narrow, wide = model.curve(inside, [64])[0], model.curve(far, [64])[0]
    assert wide[-1] - wide[0] > 1.2 * (narrow[-1] - narrow[0])


def test_saved_and_loaded_it_answers_the_same(model, unseen, tmp_path):
    storage = Storage(tmp_path)
    key = model.save(storage, "abc")
    assert key == "metamodels/abc"
    loaded = Metamodel.load(storage.local_path(key))
    assert loaded.predict(unseen) == pytest.approx(model.predict(unseen), abs=1e-12)
    assert loaded.card == json.loads(json.dumps(model.card))
    assert model.card["tasks"] == [f"task{i}" for i in range(8)]
    assert sorted(path.name for path in storage.local_path(key).iterdir()) == [
        CARD_FILE,
        "manifest.json",
        TREES_FILE,
    ]


def test_fitting_is_deterministic(frame, model):
    again = Metamodel.fit(frame)
    assert again.trust == model.trust and np.array_equal(again.factors, model.factors)


def test_missing_broken_and_outdated_metamodels_are_told_apart(model, tmp_path):
    with pytest.raises(UserError, match="no metamodel there"):
        Metamodel.load(tmp_path)
    folder = tmp_path / model.save(Storage(tmp_path), "x")
    whole = (folder / CARD_FILE).read_text()
    (folder / CARD_FILE).write_text(json.dumps(json.loads(whole) | {"schema": 0}))
    with pytest.raises(UserError, match="fit"):
        Metamodel.load(folder)
    (folder / CARD_FILE).write_text(whole[:100])
    with pytest.raises(CorruptArtefactError):
        Metamodel.load(folder)
    (folder / CARD_FILE).write_text(whole)
    (folder / TREES_FILE).write_bytes(b"not trees")
    with pytest.raises(CorruptArtefactError):
        Metamodel.load(folder)


def test_too_few_tasks_and_unknown_metrics_are_refused(frame):
    with pytest.raises(UserError, match="at least 3 task families, got 2"):
        Metamodel.fit(frame[frame["task"].isin(["task0", "task1"])])
    with pytest.raises(ValueError, match="bleu"):
        Metamodel.fit(frame, metric="bleu")


def test_three_tasks_are_enough_to_answer_with_wide_ranges(frame, unseen):
    small = Metamodel.fit(frame[frame["task"].isin(["task0", "task1", "task2"])])
    quantiles = small.predict(unseen)
    assert np.isfinite(quantiles).all()
    assert max(small.card["guaranteed_levels"]) <= 0.75


@pytest.mark.parametrize(
    "change",
    [
        {"feature_names": ["n_train"]},
        {"feature_names": None},
        {"trust": [0.0]},
        {"spread": [[0.0] * 5]},
        {"spread": 3},
        {"metric": "bleu"},
        {"card": {}},
        {"card": None},
        {"card": {"max_octaves": 4.0, "ranges": None}},
        {"card": {"max_octaves": None, "ranges": {}}},
        {"card": {"max_octaves": 4.0, "ranges": {"n_train": [1.0]}}},
        {"card": {"max_octaves": 4.0, "ranges": {"height": [1.0, 2.0]}}},
    ],
)
def test_a_card_that_forecasting_would_stumble_over_is_corrupt(model, tmp_path, change):
    card = tmp_path / model.save(Storage(tmp_path), "x") / CARD_FILE
    card.write_text(json.dumps(json.loads(card.read_text()) | change))
    with pytest.raises(CorruptArtefactError, match="cannot be read"):
        Metamodel.load(card.parent)
