import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import mean_pinball_loss
from synthetic_observations import observations

from cluster.storage import Storage
from meta.metamodel import tuning
from meta.metamodel.fitting import FitSettings, held_out_quantiles
from meta.metamodel.held_out import evaluation_folds, held_out_predictions
from meta.metamodel.tuning import chosen_settings, pinball_points, plan_tuning, run_tuning
from meta.metric import QUANTILES, Metric

QUICK = (FitSettings(n_rounds=2), FitSettings(n_rounds=20))


@pytest.fixture(scope="module")
def frame():
    return observations(n_tasks=6)


@pytest.fixture
def storage(tmp_path, frame):
    storage = Storage(tmp_path)
    storage.write_table("frame.parquet", pa.Table.from_pandas(frame, preserve_index=False))
    return storage


def test_pinball_loss_is_scikit_learns_with_groups_counting_alike():
    rng = np.random.default_rng(0)
    truth, quantiles = rng.uniform(size=30), np.sort(rng.uniform(size=(30, 5)), axis=1)
    groups = np.repeat(["a", "b", "c"], [5, 10, 15])
    weights = np.repeat([1 / 5, 1 / 10, 1 / 15], [5, 10, 15])
    theirs = [
        mean_pinball_loss(truth, quantiles[:, column], sample_weight=weights, alpha=level)
        for column, level in enumerate(QUANTILES)
    ]
    assert pinball_points(quantiles, truth, groups) == pytest.approx(100 * np.mean(theirs))


def test_a_candidate_is_judged_without_the_families_of_its_fold(monkeypatch, storage, frame):
    monkeypatch.setattr(tuning, "CANDIDATES", QUICK)
    fold = ("family0", "family1")
    piece = plan_tuning(storage, "frame.parquet", [fold], metric=Metric.ACCURACY)[1]
    rest = frame[~frame["task_family"].isin(fold)]
    quantiles = held_out_quantiles(rest, metric=Metric.ACCURACY, settings=QUICK[1])
    by_hand = pinball_points(
        quantiles, rest["truth"].to_numpy(), rest["task_family"].to_numpy(dtype=str)
    )
    assert run_tuning(piece)["loss"] == pytest.approx(by_hand)
    changed = frame.assign(truth=np.where(frame["task_family"].isin(fold), 0.0, frame["truth"]))
    storage.write_table("other.parquet", pa.Table.from_pandas(changed, preserve_index=False))
    other = plan_tuning(storage, "other.parquet", [fold], metric=Metric.ACCURACY)[1]
    assert run_tuning(other)["loss"] == pytest.approx(by_hand), (
        "what is left out cannot change the choice"
    )


def test_what_was_judged_is_not_judged_again(monkeypatch, storage):
    monkeypatch.setattr(tuning, "CANDIDATES", QUICK)
    pieces = plan_tuning(storage, "frame.parquet", [("family0",)], metric=Metric.ACCURACY)
    assert len({piece["key"] for piece in pieces}) == 2
    first = run_tuning(pieces[0])
    monkeypatch.setattr(tuning, "held_out_quantiles", lambda *_, **__: pytest.fail("fitted again"))
    assert run_tuning(pieces[0]) == first


def test_every_fold_gets_its_own_best_and_the_evaluation_takes_it(monkeypatch, frame):
    folds = evaluation_folds(frame)
    assert sorted(name for fold in folds for name in fold) == sorted(frame["task_family"].unique())
    pieces = [{"fold": list(fold), "settings": {"n_rounds": n}} for fold in folds for n in (1, 2)]
    losses = [float((i + n) % 2) for i in range(len(folds)) for n in (1, 2)]
    chosen = chosen_settings(pieces, losses)
    assert [chosen[fold].n_rounds for fold in folds] == [
        2 if i % 2 == 0 else 1 for i in range(len(folds))
    ]
    tuned = held_out_predictions(frame, settings=chosen)
    plain = held_out_predictions(frame, settings=FitSettings(n_rounds=1))
    ones = {name for fold in folds for name in fold if chosen[fold].n_rounds == 1}
    of_ones = tuned["task_family"].isin(ones)
    assert np.array_equal(tuned.loc[of_ones, "q50"], plain.loc[of_ones, "q50"])
    assert not np.array_equal(tuned["q50"], plain["q50"])
