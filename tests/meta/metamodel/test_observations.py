import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cluster.storage import Storage
from meta.metamodel.observation_blocks import ObservationSpec, plan_observations, run_observations
from meta.metamodel.observations import (
    ID_COLUMNS,
    join_truth,
    observation_table,
    power_law_forecasts,
    with_horizons,
)
from meta.metamodel.power_laws import FORECASTS
from meta.metamodel.sample_features import sample_features
from meta.metric import Metric
from probes.embeddings.cache import EmbeddingCache
from probes.encoders.base import EncoderInfo, View
from probes.tasks.store import save_task
from probes.tasks.task import Split, Task

VIEW = View(1, "mean")
INFO = EncoderInfo("hf:tiny", "e" * 16, "hf", 2, 24, 1000, 128, (VIEW,))


def classes(n_rows, seed, n_columns=24, n_classes=3):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((n_classes, n_columns)) * 0.5
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n_rows - n_classes)])
    return (rng.standard_normal((n_rows, n_columns)) + centres[y]).astype(np.float32), y


def test_features_are_complete_finite_and_deterministic():
    (X, y), X_eval = classes(96, 0), classes(80, 1)[0]
    features = sample_features(X, y, X_eval, 3, INFO, VIEW, seed=0)
    assert features == sample_features(X, y, X_eval, 3, vars(INFO), VIEW, seed=0)
    assert {name for name, value in features.items() if not np.isfinite(value)} == set()
    assert features["n_train"] == 96 and features["relative_depth"] == 0.5
    assert features["pooling_is_mean"] == 1.0 and features["family_is_hf"] == 1.0
    assert features["curve_accuracy_1"] == pytest.approx(features["ridge_loo_accuracy"])
    assert [features[f"curve_n_{fraction}"] for fraction in (8, 4, 2, 1)] == [12, 24, 48, 96]
    assert features["curve_accuracy_8"] < features["curve_accuracy_1"]


def test_a_small_sample_lacks_early_points_and_still_has_every_forecast():
    (X, y), X_eval = classes(12, 0), classes(40, 1)[0]
    features = sample_features(X, y, X_eval, 3, INFO, VIEW, seed=0)
    assert np.isnan(features["curve_n_8"]) and np.isnan(features["curve_accuracy_8"])
    known = power_law_forecasts(with_horizons(pd.DataFrame([features]), [12, 48]), Metric.ACCURACY)
    assert list(known.columns) == list(FORECASTS)
    assert np.isfinite(known.to_numpy()).all()


def test_the_share_of_rows_that_are_the_only_one_of_their_class_is_known():
    X, y = classes(24, 0)
    y[:2] = 3, 4  # two classes of one row
    features = sample_features(X, y, classes(40, 1)[0], 6, INFO, VIEW, seed=0)
    assert features["share_single_rows"] == pytest.approx(2 / 24)
    assert features["share_classes_seen"] == pytest.approx(5 / 6)


@pytest.fixture
def block(tmp_path):
    """A saved task with cached vectors, and the sweep's block for it."""
    storage = Storage(tmp_path)
    splits, vectors = {}, {}
    for split, n_rows, seed in (("train", 150, 0), ("test", 60, 1)):
        X, y = classes(n_rows, seed)
        text = tuple(f"{split} {row}" for row in range(n_rows))
        splits[split] = Split(text, y)
        vectors[split] = X
    task = Task("toy", ("a", "b", "c"), splits, family="toys")
    save_task(task, storage)
    texts = [text for split in splits.values() for text in split.text]
    EmbeddingCache(storage, INFO.fingerprint).publish(
        texts, {VIEW: np.concatenate(list(vectors.values()))}
    )
    return {
        "storage": storage.uri,
        "task": "toy",
        "task_fingerprint": task.fingerprint,
        "task_family": "toys",
        "encoder": {name: value for name, value in vars(INFO).items() if name != "views"},
        "encoder_name": "tiny",
        "layer": 1,
        "pooling": "mean",
    }


def results(block, sizes, subset="stratified"):
    """Probe results of three seeds at each size. The chosen probe has the metric 0.5 + log2(n)/20 +
    seed/100; another probe is far worse."""
    rows = []
    for n_train in sizes:
        for seed in range(3):
            for selected in (True, False):
                place = {
                    "task_fingerprint": block["task_fingerprint"],
                    "encoder_fingerprint": "e" * 16,
                    "layer": 1,
                }
                accuracy = 0.5 + np.log2(n_train) / 20 + seed / 100 if selected else 0.0
                what = {
                    "probe": "ridge",
                    "C_selected": selected,
                    "accuracy": accuracy,
                    "n_train": n_train,
                    "seed": seed,
                }
                rows.append({**place, "pooling": "mean", "subset": subset, **what})
    return pa.Table.from_pylist(rows)


def test_planning_skips_what_is_done_and_keys_depend_on_the_spec(block):
    spec = ObservationSpec(sizes=(32,), n_seeds=1)
    [planned] = plan_observations(spec, [block], set())
    assert plan_observations(spec, [block], {planned["key"]}) == []
    [other] = plan_observations(ObservationSpec(sizes=(64,), n_seeds=1), [block], set())
    assert other["key"] != planned["key"]


def test_samples_whose_rows_have_each_a_class_of_their_own_are_left_out(block):
    [planned] = plan_observations(ObservationSpec(sizes=(3, 16), n_seeds=2), [block], set())
    assert (
        run_observations(planned)["n_observations"] == 2
    )  # three rows of three classes teach nothing
    assert set(
        Storage(block["storage"])
        .read_table(f"observations/{planned['key']}.parquet")["n_train"]
        .to_pylist()
    ) == {16.0}


def test_observations_are_published_once_and_joined_with_the_mean_truth(block):
    [planned] = plan_observations(ObservationSpec(sizes=(32, 64, 1000), n_seeds=2), [block], set())
    done = run_observations(planned)
    assert done["n_observations"] == 4 and done["wall_seconds"] > 0
    assert run_observations(planned)["n_observations"] == 0
    storage = Storage(block["storage"])
    table = observation_table(storage, results(block, (32, 64, 128)), keys=[planned["key"]])
    assert set(ID_COLUMNS) <= set(table.columns)
    assert len(table) == 2 * 3 + 2 * 2  # n=32 at 1x, 2x, 4x; n=64 at 1x, 2x
    assert table["truth"].to_numpy() == pytest.approx(
        0.5 + np.log2(table["horizon"].to_numpy()) / 20 + 0.01
    )
    assert (table["n_truth"] == 3).all() and (table["task_family"] == "toys").all()


def test_samples_are_compared_with_subsets_of_their_own_kind(block):
    [planned] = plan_observations(ObservationSpec(sizes=(32,), n_seeds=1), [block], set())
    run_observations(planned)
    samples = (
        Storage(block["storage"]).read_table(f"observations/{planned['key']}.parquet").to_pandas()
    )
    assert join_truth(samples, results(block, (32,), subset="imbalanced")).empty
    assert len(join_truth(samples, results(block, (32,)))) == 1


def test_nothing_observed_is_an_empty_table(tmp_path, block):
    assert observation_table(Storage(tmp_path / "empty"), results(block, (32,))).empty
