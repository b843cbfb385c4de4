"""By which names the prior knows the spaces of a run."""

from types import SimpleNamespace

import numpy as np
import pytest

from meta.answering.q4_posterior import space_posterior
from meta.metamodel.stored import shipped_folder
from meta.metric import Metric
from meta.priors.spaces import ViewPrior
from probes.encoders.base import View

PRIOR = ViewPrior.load(shipped_folder() / "accuracy" / "view_prior.json")


def space(ref: str, view: View, hits: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(info=SimpleNamespace(ref=ref, n_layers=6), view=view, hits=hits)


def hits_of(accuracy: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(200) < accuracy


def posterior(*spaces: SimpleNamespace):
    return space_posterior(spaces, PRIOR, Metric.ACCURACY, is_pair=False)


def test_two_folders_with_the_same_last_name_are_two_encoders():
    last = View(6, "mean")
    alike, apart = (
        posterior(space(one, last, hits_of(0.9, 0)), space(other, last, hits_of(0.7, 1)))
        for one, other in (("hf:/a/final", "hf:/b/final"), ("hf:/a/one", "hf:/b/two"))
    )
    np.testing.assert_allclose(alike.mean, apart.mean)
    assert alike.accuracy[0] - alike.accuracy[1] > 0.1


@pytest.mark.parametrize("twin", ["mean", "cls"])
def test_the_authors_vector_is_taken_for_the_pooling_that_it_agrees_with(twin):
    hits = {"mean": hits_of(0.8, 0), "cls": hits_of(0.6, 1)}
    spaces = [space("hf:x", View(6, name), own) for name, own in hits.items()]
    found = posterior(*spaces, space("hf:x", View(6, "sentence"), hits[twin]))
    assert found.mean[2] == pytest.approx(found.mean[0 if twin == "mean" else 1])


def test_an_authors_vector_of_its_own_has_a_variance_of_its_own():
    spaces = [space("hf:x", View(6, "mean"), hits_of(0.8, 0))]
    found = posterior(*spaces, space("hf:x", View(6, "sentence"), hits_of(0.6, 1)))
    difference = np.array([1.0, -1.0])
    assert difference @ found.covariance @ difference > 1e-4
