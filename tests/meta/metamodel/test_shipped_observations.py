import numpy as np
import pandas as pd
import pytest
from synthetic_observations import observations

from cluster.storage import UserError
from meta.metamodel import shipped_observations as module
from meta.metamodel.fitting import FitSettings
from meta.metamodel.held_out import held_out_predictions
from meta.metamodel.sample_features import FEATURES_VERSION
from meta.metamodel.shipped_observations import (
    FILE,
    join_metrics,
    join_with_shipped,
    shipped_observations,
    write_observations,
)
from meta.metric import Metric


@pytest.fixture(scope="module")
def frame():
    return observations(n_tasks=4)


def test_what_was_joined_and_written_is_read_again_by_metric(frame, tmp_path, monkeypatch):
    losses = frame.assign(truth=2 - 2 * frame["truth"]).iloc[::2]  # a metric that not every row has
    write_observations(join_metrics({"accuracy": frame, "log_loss": losses}), tmp_path / FILE)
    monkeypatch.setattr(module, "shipped_folder", lambda: tmp_path)
    place = ["task_fingerprint", "layer", "n_train", "seed", "horizon"]
    for metric, original in ((Metric.ACCURACY, frame), (Metric.LOG_LOSS, losses)):
        read = shipped_observations(metric)
        assert set(read.columns) == set(frame.columns)
        expected = original.sort_values(place, ignore_index=True)[read.columns]
        pd.testing.assert_frame_equal(
            read.sort_values(place, ignore_index=True), expected, rtol=1e-6
        )


def test_observations_of_another_version_and_none_at_all_are_said(frame, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "shipped_folder", lambda: tmp_path)
    with pytest.raises(UserError, match="ships no observations"):
        shipped_observations(Metric.ACCURACY)
    monkeypatch.setattr(module, "FEATURES_VERSION", FEATURES_VERSION + 1)
    write_observations(join_metrics({"accuracy": frame}), tmp_path / FILE)
    monkeypatch.setattr(module, "FEATURES_VERSION", FEATURES_VERSION)
    with pytest.raises(UserError, match=f"version {FEATURES_VERSION + 1}"):
        shipped_observations(Metric.ACCURACY)


@pytest.mark.parametrize(
    "damage",
    [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"a pointer to a file"],
)
def test_damaged_observations_are_one_line(frame, tmp_path, monkeypatch, damage):
    monkeypatch.setattr(module, "shipped_folder", lambda: tmp_path)
    write_observations(join_metrics({"accuracy": frame}), tmp_path / FILE)
    (tmp_path / FILE).write_bytes(damage((tmp_path / FILE).read_bytes()))
    with pytest.raises(UserError, match=r"damaged .*install neoberta again"):
        shipped_observations(Metric.ACCURACY)


def test_a_flipped_bit_in_the_numbers_is_found(frame, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "shipped_folder", lambda: tmp_path)
    write_observations(join_metrics({"accuracy": frame}), tmp_path / FILE)
    raw = bytearray((tmp_path / FILE).read_bytes())
    raw[len(raw) // 3] ^= 4
    (tmp_path / FILE).write_bytes(bytes(raw))
    with pytest.raises(UserError, match="damaged"):
        shipped_observations(Metric.ACCURACY)


def test_a_task_in_both_counts_once_and_is_of_the_family_that_ships(frame):
    shipped = observations(n_tasks=2)  # the same fingerprints as two of the own tasks
    own = frame.assign(task_family="mine/" + frame["task_family"])
    together, rest = join_with_shipped(own, shipped)
    assert len(rest) == 0
    assert sorted(together["task_family"].unique()) == [
        "family0",
        "family1",
        "mine/family2",
        "mine/family3",
    ]


def test_what_is_learnt_beside_helps_and_what_is_left_out_is_left_out_there_too(frame):
    beside = observations(n_tasks=4, seed=3)
    beside["task_fingerprint"] = "b" + beside["task_fingerprint"]
    quick = FitSettings(n_rounds=20)
    alone = held_out_predictions(frame, settings=quick)
    helped = held_out_predictions(frame, extra_observations=beside, settings=quick)
    assert len(helped) == len(alone) and set(helped["task_fingerprint"]) == set(
        frame["task_fingerprint"]
    )
    spoilt = beside.assign(truth=np.where(beside["task_family"] == "family0", 0.0, beside["truth"]))
    other = held_out_predictions(frame, extra_observations=spoilt, settings=quick)
    of_family0 = helped["task_family"] == "family0"
    assert np.array_equal(helped.loc[of_family0, "q50"], other.loc[of_family0, "q50"]), (
        "family0 was left out there, too"
    )
    assert not np.array_equal(helped.loc[~of_family0, "q50"], other.loc[~of_family0, "q50"])
