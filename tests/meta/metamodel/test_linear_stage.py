import json

import numpy as np
import pandas as pd
import pytest

from meta.metamodel.linear_stage import OCTAVE_KNOTS, LinearStage


def problem(n_tasks=40, seed=0, noise=0.0):
    """Errors that are a linear function of two inputs, steeper the further ahead. A third input is
    noise."""
    rng = np.random.default_rng(seed)
    n_rows = n_tasks * 30
    inputs = pd.DataFrame(rng.standard_normal((n_rows, 3)), columns=["a", "b", "c"])
    octaves, log2_n = rng.choice(OCTAVE_KNOTS, n_rows), rng.choice([6.0, 7.0, 8.0], n_rows)
    error = (0.02 + 0.01 * octaves) * inputs["a"].to_numpy() - 0.01 * inputs["b"].to_numpy()
    return (
        inputs,
        octaves,
        log2_n,
        error + noise * rng.standard_normal(n_rows),
        np.repeat(np.arange(n_tasks), 30).astype(str),
    )


def test_it_learns_what_a_linear_function_of_inputs_and_horizon_gets_wrong():
    stack = LinearStage.fit(*problem())
    inputs, octaves, log2_n, error, _ = problem(seed=1)
    left = error - stack.predict(inputs, octaves, log2_n)
    assert np.sqrt(np.mean(left**2)) < 0.15 * np.sqrt(np.mean(error**2))


def test_at_a_knot_it_is_a_weighted_ridge_regression():
    """It is compared with scikit-learn on rows of one size and horizon, for which all weights are
    equal."""
    from sklearn.linear_model import Ridge

    inputs, _, _, error, groups = problem(n_tasks=10, noise=0.01)
    at = np.zeros(len(inputs)), np.full(len(inputs), 7.0)
    stack = LinearStage.fit(inputs, *at, error, groups)
    scaled = (inputs - stack.centre) / stack.scale
    scaled = np.column_stack([np.clip(scaled, -4, 4), np.ones(len(inputs))])
    theirs = Ridge(alpha=4 / 10 * len(inputs), fit_intercept=False).fit(
        scaled, error
    )  # of 10 families
    np.testing.assert_allclose(stack.predict(inputs, *at), theirs.predict(scaled), atol=1e-9)


def test_few_tasks_are_believed_less_than_many():
    few, many = (LinearStage.fit(*problem(n_tasks=n)) for n in (3, 60))
    inputs, octaves, log2_n, *_ = problem(seed=1)
    said = [np.abs(stack.predict(inputs, octaves, log2_n)).mean() for stack in (few, many)]
    assert said[0] < 0.8 * said[1]


def test_missing_and_constant_inputs_say_nothing():
    inputs, octaves, log2_n, error, groups = problem()
    spoilt = inputs.assign(never=np.nan, same=3.0)
    spoilt.loc[::7, "a"] = np.nan
    stack = LinearStage.fit(spoilt, octaves, log2_n, error, groups)
    assert np.isfinite(stack.predict(spoilt, octaves, log2_n)).all()
    changed = spoilt.assign(never=5.0, same=-100.0)
    np.testing.assert_array_equal(
        stack.predict(spoilt, octaves, log2_n), stack.predict(changed, octaves, log2_n)
    )


def test_between_knots_it_lies_between():
    stack = LinearStage.fit(*problem())
    inputs = problem(seed=1)[0].head(20)
    at = [
        stack.predict(inputs, np.full(20, octaves), np.full(20, 7.0)) for octaves in (1.0, 1.5, 2.0)
    ]
    np.testing.assert_allclose(at[1], (at[0] + at[2]) / 2)
    beyond = [
        stack.predict(inputs, np.full(20, octaves), np.full(20, 7.0)) for octaves in (4.0, 6.0)
    ]
    np.testing.assert_array_equal(*beyond)


def test_stored_and_read_again_it_says_the_same():
    inputs, octaves, log2_n, error, groups = problem()
    stack = LinearStage.fit(inputs.assign(same=1.0), octaves, log2_n, error, groups)
    stored = json.loads(json.dumps(stack.to_json(), allow_nan=False))
    again = LinearStage.from_json(stored)
    np.testing.assert_allclose(
        again.predict(inputs.assign(same=1.0), octaves, log2_n),
        stack.predict(inputs.assign(same=1.0), octaves, log2_n),
        atol=1e-6,
    )
    for broken in ({"centre": [0.0]}, {"coefficients": [[1.0]]}, {"scale": [-1.0] * 4}):
        with pytest.raises(ValueError, match="stack"):
            LinearStage.from_json(stored | broken)
