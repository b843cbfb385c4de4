import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

from probes.features.decomposition import decompose
from probes.features.geometry import squared_distances
from probes.features.shift import domain_auc, frechet_distance, mmd2, sliced_wasserstein


def samples(shift=0.0, n_rows=80, n_eval=100, n_columns=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_rows, n_columns)), rng.standard_normal(
        (n_eval, n_columns)
    ) * 1.1 + shift


def test_mmd2_is_its_definition():
    X, Z = samples(0.3)
    squared = lambda A, B: ((A[:, None] - B[None]) ** 2).sum(-1)  # noqa: E731
    median = np.median(squared(X, Z))
    values = []
    for factor in (0.25, 1.0, 4.0):
        kernel = lambda A, B, f=factor: np.exp(-squared(A, B) / (f * median))  # noqa: E731
        off = lambda K: (K.sum() - np.trace(K)) / (len(K) * (len(K) - 1))  # noqa: E731
        values.append(off(kernel(X, X)) + off(kernel(Z, Z)) - 2 * kernel(X, Z).mean())
    assert mmd2(X, Z) == pytest.approx(np.mean(values), rel=1e-3)


@pytest.mark.parametrize(("n_rows", "n_columns"), [(80, 12), (20, 60)])
def test_frechet_is_the_matrix_square_root_formula(n_rows, n_columns):
    X, Z = samples(0.2, n_rows=n_rows, n_eval=n_rows + 5, n_columns=n_columns)
    first, second = np.cov(X.T), np.cov(Z.T)
    gap = X.mean(axis=0) - Z.mean(axis=0)
    cross = np.trace(np.real(sqrtm(first @ second + 1e-12 * np.eye(n_columns))))
    direct = gap @ gap + np.trace(first) + np.trace(second) - 2 * cross
    assert frechet_distance(X, Z) == pytest.approx(direct, rel=1e-3)


def test_low_rank_frechet_is_exact_where_the_rank_suffices():
    rng = np.random.default_rng(1)
    plane = rng.standard_normal((5, 40))
    X, Z = rng.standard_normal((70, 5)) @ plane, (0.5 + rng.standard_normal((90, 5))) @ plane
    assert frechet_distance(X, Z, rank=10) == pytest.approx(frechet_distance(X, Z), rel=1e-8)


def test_domain_auc_is_leave_one_out_least_squares_where_rows_abound():
    X, Z = samples(0.4, n_rows=60, n_eval=60, n_columns=3)
    both, target = np.concatenate([X, Z]), np.repeat([-1.0, 1.0], 60)
    rows = np.arange(120)
    scores = [
        LinearRegression().fit(both[rows != i], target[rows != i]).predict(both[i : i + 1])[0]
        for i in rows
    ]
    assert domain_auc(X, Z)[0] == pytest.approx(roc_auc_score(target, scores), abs=0.02)


@pytest.mark.parametrize(
    "measure", [mmd2, frechet_distance, sliced_wasserstein, lambda X, Z: domain_auc(X, Z)[1]]
)
def test_distances_grow_with_the_shift(measure):
    near, far, further = (measure(*samples(shift, seed=3)) for shift in (0.0, 0.5, 1.5))
    assert near < far < further


def test_no_shift_is_near_zero_and_a_great_one_saturates():
    assert abs(mmd2(*samples(0.0, n_rows=300, n_eval=300))) < 0.02
    auc, distance = domain_auc(*samples(20.0))
    assert auc == pytest.approx(1.0) and distance == pytest.approx(2.0)


def test_sliced_wasserstein_of_a_translation_is_its_length_over_root_d():
    X = np.random.default_rng(0).standard_normal((500, 64))
    moved = X + 2.0 / 8.0  # length 2
    assert sliced_wasserstein(X, moved, n_projections=400) == pytest.approx(2.0 / 8.0, rel=0.1)


def test_the_shared_distances_and_decomposition_change_nothing():
    X, Z = samples(0.3)
    both = np.concatenate([X, Z]) - np.concatenate([X, Z]).mean(axis=0)
    assert mmd2(X, Z, squared=squared_distances(both @ both.T)) == mmd2(X, Z)
    assert domain_auc(X, Z, decomposition=decompose(both)) == domain_auc(X, Z)


def test_equal_rows_are_not_shifted():
    point = np.full((10, 4), 0.3)
    assert mmd2(point, point) == 0.0 and frechet_distance(point, point) == pytest.approx(
        0.0, abs=1e-20
    )
    assert domain_auc(point, point) == (0.5, 0.0)


def test_one_row_has_no_distance():
    X, Z = samples()
    assert (
        np.isnan(mmd2(X[:1], Z))
        and np.isnan(frechet_distance(X, Z[:1]))
        and np.isnan(domain_auc(X[:1], Z)[0])
    )
