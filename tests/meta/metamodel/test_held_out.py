import numpy as np
import pandas as pd
import pytest
from synthetic_observations import observations

from meta.metamodel import held_out
from meta.metamodel.fitting import FitSettings
from meta.metamodel.held_out import BASELINES, QUANTILE_COLUMNS
from meta.metric import Metric

QUICK = FitSettings(n_rounds=5)


@pytest.fixture(scope="module")
def frame():
    return observations(n_tasks=5, n_views=3, sizes=(64,))


def test_every_measured_row_is_predicted_once_and_keeps_its_truth(frame):
    calls = []
    found = held_out.held_out_predictions(
        frame, settings=QUICK, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(i, 5) for i in range(1, 6)]
    measured = found[found["truth"].notna()]
    assert len(measured) == len(frame)
    keys = ["task", "layer", "n_train", "seed", "horizon"]
    both = measured.merge(frame[[*keys, "truth"]], on=keys, suffixes=("", "_given"))
    assert len(both) == len(frame)
    assert (both["truth"] == both["truth_given"]).all()


def test_a_fold_never_learns_from_the_task_it_predicts(frame, monkeypatch):
    seen = {}

    class Spy(held_out.Metamodel):
        @classmethod
        def fit(cls, rest, **kwargs):
            seen["families"] = set(rest["task_family"])
            return fit(rest, **kwargs)

    fit = held_out.Metamodel.fit
    monkeypatch.setattr(held_out, "Metamodel", Spy)
    part = held_out.predict_fold(
        {"family2"}, frame=frame, metric=Metric.ACCURACY, by="task_family", settings=QUICK
    )
    assert set(part["task_family"]) == {"family2"}
    assert seen["families"] == {f"family{i}" for i in (0, 1, 3, 4)}


def test_changing_a_tasks_truth_does_not_change_its_prediction(frame):
    spoilt = frame.assign(truth=np.where(frame["task"] == "task1", 0.0, frame["truth"]))
    parts = [
        held_out.predict_fold(
            {"family1"}, frame=f, metric=Metric.ACCURACY, by="task_family", settings=QUICK
        )
        for f in (frame, spoilt)
    ]
    columns = [*QUANTILE_COLUMNS, *BASELINES, "static"]
    pd.testing.assert_frame_equal(parts[0][columns], parts[1][columns])
