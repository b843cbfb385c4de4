"""Which embedding spaces get the logistic probe, and what each pass fits."""

import pandas as pd
import pytest
from pydantic import ValidationError

from probes.sweep.cost import n_probes
from probes.sweep.fidelity import contender_blocks, contenders
from probes.sweep.spec import SweepSpec


def results(loo: dict[int, float], n_train: int = 512, task: str = "t") -> pd.DataFrame:
    """Ridge rows of one task: leave-one-out accuracy by layer, equal in two seeds, and lower at a
    smaller size."""
    rows = []
    for layer, accuracy in loo.items():
        for seed in (0, 1):
            for size, value in ((n_train, accuracy), (n_train // 2, 1 - accuracy)):
                space = {
                    "task_fingerprint": task,
                    "encoder_fingerprint": "e",
                    "layer": layer,
                    "pooling": "mean",
                }
                rows.append(
                    space
                    | {
                        "probe": "ridge",
                        "C_selected": True,
                        "n_train": size,
                        "seed": seed,
                        "loo_accuracy": value,
                    }
                )
                rows.append(rows[-1] | {"C_selected": False, "loo_accuracy": 1.0})
    return pd.DataFrame(rows)


def test_contenders_are_within_the_noise_of_the_best_at_the_largest_size():
    found = contenders(results({0: 0.60, 1: 0.76, 2: 0.80, 3: 0.79}))
    assert {layer for _, _, layer, _ in found} == {
        2,
        3,
    }  # two standard errors at n = 512 are 3.5 points, at 0.80
    wide = contenders(results({0: 0.60, 1: 0.76, 2: 0.80, 3: 0.79}, n_train=64))
    assert {layer for _, _, layer, _ in wide} == {1, 2, 3}


def test_every_task_has_contenders_of_its_own():
    both = pd.concat([results({0: 0.9, 1: 0.5}), results({0: 0.4, 1: 0.7}, task="u")])
    assert contenders(both) == {("t", "e", 0, "mean"), ("u", "e", 1, "mean")}
    blocks = [
        {
            "task_fingerprint": task,
            "encoder": {"fingerprint": "e"},
            "layer": layer,
            "pooling": "mean",
        }
        for task in "tu"
        for layer in (0, 1)
    ]
    assert contender_blocks(blocks, contenders(both)) == [blocks[0], blocks[3]]


def test_two_passes_fit_together_what_one_would():
    both = SweepSpec(
        sizes=(32, 128),
        logistic_sizes=(32,),
        logistic_where="contenders",
        probes=("ridge", "logistic", "knn"),
    )
    cheap, dear = both.fidelities
    assert cheap.probes == ("ridge", "knn") and dear.probes == ("logistic",)
    count = [
        n_probes({"spec": spec.model_dump(mode="json"), "n_train": 500})
        for spec in (both, cheap, dear)
    ]
    assert count[0] == count[1] + count[2] and count[2] == 2 * 5
    everywhere = both.model_copy(update={"logistic_where": "everywhere"})
    assert everywhere.fidelities == [everywhere]


def test_contenders_need_the_ridge_probe():
    with pytest.raises(ValidationError, match="add ridge to probes"):
        SweepSpec(probes=("logistic",), logistic_where="contenders")
