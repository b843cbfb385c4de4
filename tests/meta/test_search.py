import pytest

from meta.search import Candidate, SearchSpace, choose, mean_prediction


def candidate(predicted: float, n_parameters: int, loss: float = 5.0) -> Candidate:
    return Candidate(
        n_layers=2,
        hidden_size=64,
        lr=1e-3,
        mask_rate=0.3,
        n_parameters=n_parameters,
        n_tokens=1000,
        validation_loss=loss,
        predicted=predicted,
        predicted_low=predicted - 0.1,
        predicted_high=predicted + 0.1,
        predicted_n_train=512,
        measured=predicted - 0.05,
        seconds=1.0,
    )


def test_the_smallest_within_half_a_point_wins():
    candidates = [
        candidate(0.800, 4_000_000),
        candidate(0.796, 1_000_000),
        candidate(0.790, 100_000),
    ]
    assert choose(candidates) == 1


def test_ties_in_size_go_to_the_lower_loss():
    candidates = [candidate(0.80, 1_000_000, loss=5.1), candidate(0.80, 1_000_000, loss=4.9)]
    assert choose(candidates) == 1


def test_nothing_to_choose_from_is_said():
    with pytest.raises(ValueError, match="no candidate"):
        choose([])


def test_the_space_is_described_for_a_searcher():
    space = SearchSpace(n_layers=(1, 2), lr=(1e-4, 1e-3)).describe()
    assert space["n_layers"] == ("choice", [1, 2])
    assert space["lr"] == ("loguniform", 1e-4, 1e-3)
    assert set(space) == {"n_layers", "hidden_size", "lr", "mask_rate"}


def test_predictions_are_averaged_by_quantile():
    curves = [{"q05": 0.5, "q50": 0.6, "q95": 0.7}, {"q05": 0.7, "q50": 0.8, "q95": 0.9}]
    assert mean_prediction(curves) == pytest.approx({"q05": 0.6, "q50": 0.7, "q95": 0.8})
