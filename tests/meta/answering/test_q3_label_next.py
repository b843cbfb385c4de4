import numpy as np
import pytest

from meta.answering.q3_label_next import (
    FULL_TRUST_ROWS_PER_CLASS,
    find_regions,
    label_next,
    probe_trust,
    spread_over_rows,
    strategy,
)

NAMES = ("red", "green", "blue")


@pytest.fixture
def problem() -> dict[str, np.ndarray]:
    """Three well separated classes, of which the third is rare. The evaluation rows have a fourth
    region that holds no labelled row."""
    rng = np.random.default_rng(0)
    centres = np.eye(8)[:4] * 5
    y = np.array([0] * 20 + [1] * 20 + [2] * 2)
    X = centres[y] + 0.3 * rng.standard_normal((len(y), 8))
    of_eval = np.array([0] * 80 + [1] * 80 + [2] * 20 + [3] * 60)
    X_eval = centres[of_eval] + 0.3 * rng.standard_normal((len(of_eval), 8))
    X_eval[5] = (centres[0] + centres[1]) / 2
    probabilities = np.full((len(of_eval), 3), 0.02)
    probabilities[np.arange(len(of_eval)), np.where(of_eval == 3, 0, of_eval)] = 0.96
    probabilities[5] = (0.5, 0.48, 0.02)
    return {"X": X, "y": y, "X_eval": X_eval, "probabilities": probabilities, "region": of_eval}


def run(problem: dict[str, np.ndarray], n_rows: int = 12) -> list:
    return label_next(
        problem["X"],
        problem["y"],
        problem["X_eval"],
        problem["probabilities"],
        NAMES,
        n_rows=n_rows,
    )


def test_the_uncovered_region_and_the_rare_class_are_found_with_their_reasons(problem):
    picks = run(problem)
    assert len(picks) == 12
    uncovered = [pick for pick in picks if pick.reason == "uncovered region"]
    assert uncovered and all(problem["region"][pick.row_idx] == 3 for pick in uncovered)
    rare = [pick for pick in picks if pick.reason == "rare class"]
    assert rare and all(problem["region"][pick.row_idx] == 2 for pick in rare)
    assert "which has 2 of 42 labelled rows" in rare[0].why and "'blue'" in rare[0].why


def test_the_row_between_two_classes_is_uncertain(problem):
    by_row = {pick.row_idx: pick for pick in run(problem)}
    assert by_row[5].reason == "uncertain"
    assert by_row[5].why == "the probe hesitates between 'red' (50%) and 'green' (48%)"


def test_picks_are_distinct_ordered_and_deterministic(problem):
    picks = run(problem)
    assert len({pick.row_idx for pick in picks}) == len(picks)
    assert all(0 < pick.score <= 1 for pick in picks)
    assert picks[0].score == max(pick.score for pick in picks)
    assert picks == run(problem)


def test_copies_of_a_picked_row_are_not_picked(problem):
    copies = np.concatenate([problem["X_eval"], np.repeat(problem["X_eval"][5:6], 30, axis=0)])
    probabilities = np.concatenate(
        [problem["probabilities"], np.repeat(problem["probabilities"][5:6], 30, axis=0)]
    )
    picks = label_next(problem["X"], problem["y"], copies, probabilities, NAMES, n_rows=12)
    assert (
        sum(
            pick.reason == "uncertain" and probabilities[pick.row_idx].max() == 0.5
            for pick in picks
        )
        == 1
    )


def test_typical_gives_way_to_uncertain_as_labels_grow(problem):
    trust = [probe_trust(n, 2) for n in (4, FULL_TRUST_ROWS_PER_CLASS, 4000)]
    assert trust == [2 / FULL_TRUST_ROWS_PER_CLASS, 0.5, 1.0]
    assert "believed 50%" in strategy(
        FULL_TRUST_ROWS_PER_CLASS, 2
    ) and "spread over the evaluation" in strategy(1000, 2)
    few = label_next(
        problem["X"][::7],
        problem["y"][::7],
        problem["X_eval"],
        problem["probabilities"],
        NAMES,
        n_rows=12,
    )
    assert any(pick.reason == "typical" and "of the evaluation rows" in pick.why for pick in few)


def test_a_batch_is_spread_over_the_interesting_rows():
    rng = np.random.default_rng(0)
    of_row = np.arange(100) % 5
    unit = np.eye(8)[of_row] + 0.01 * rng.standard_normal((100, 8))
    interest = np.where(of_row == 4, 0.0, 1.0 + of_row)
    rows, scores = spread_over_rows(unit, interest, 4, 80, seed=0)
    assert of_row[rows].tolist() == [
        3,
        2,
        1,
        0,
    ]  # a row of each interesting kind, the most interesting first
    assert scores == pytest.approx([1.0, 3 / 4, 2 / 4, 1 / 4])
    assert len(spread_over_rows(unit, np.zeros(100), 4, 80, seed=0)[0]) == 0


def test_balanced_cells_have_no_deficit():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((400, 4))
    regions = find_regions(X[:200], X[200:], n_regions=8, seed=0)
    assert regions.deficit.max() < 0.15
    assert regions.eval_counts.sum() == regions.train_counts.sum() == 200


def test_without_evaluation_rows_there_is_nothing_to_label():
    assert (
        label_next(
            np.ones((4, 2)), np.array([0, 1, 0, 1]), np.ones((0, 2)), np.ones((0, 2)), ("a", "b")
        )
        == []
    )


def test_fewer_evaluation_rows_than_asked_for(problem):
    picks = label_next(
        problem["X"],
        problem["y"],
        problem["X_eval"][:3],
        problem["probabilities"][:3],
        NAMES,
        n_rows=20,
    )
    assert len(picks) <= 3
