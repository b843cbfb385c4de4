import numpy as np
import pandas as pd
import pytest

from meta.priors.fit_encoders import fit_two_way


def made_up(n_encoders=40, n_tasks=30, share=0.6, interaction=0.02, seed=0):
    """Accuracies that the model itself makes, for a part of the pairs: cells, true levels of the
    encoders, sensitivities of the tasks, numbers of parameters."""
    rng = np.random.default_rng(seed)
    logs = rng.uniform(7, 10, n_encoders)
    levels = 0.03 * (logs - logs.mean()) + 0.04 * rng.standard_normal(n_encoders)
    levels -= levels.mean()
    sensitivity = rng.uniform(0.4, 1.6, n_tasks)
    sensitivity /= sensitivity.mean()
    noise = interaction * rng.standard_normal((n_encoders, n_tasks))
    accuracy = rng.uniform(0.5, 0.8, n_tasks) + sensitivity * (levels[:, None] + noise)
    encoder, task = np.nonzero(rng.random((n_encoders, n_tasks)) < share)
    names = np.array([f"e{i:02d}" for i in range(n_encoders)])
    cells = pd.DataFrame(
        {
            "encoder": names[encoder],
            "task": [f"t{j:02d}" for j in task],
            "accuracy": np.clip(accuracy[encoder, task], 0, 1),
        }
    )
    return cells, pd.Series(levels, names), sensitivity, pd.Series(10**logs, names)


def test_the_model_that_made_the_cells_is_found_again():
    cells, levels, sensitivity, parameters = made_up()
    fit = fit_two_way(cells, parameters)
    error = fit.encoders["mean"] - levels
    assert np.abs(error).mean() < 0.008
    assert np.corrcoef(fit.tasks["sensitivity"], sensitivity)[0, 1] > 0.95
    assert fit.interaction_sd == pytest.approx(0.02, rel=0.25)
    assert fit.slope == pytest.approx(0.03, abs=0.02)
    assert fit.tasks["sensitivity"].mean() == pytest.approx(1.0, abs=1e-6)


def test_standard_deviations_are_what_the_levels_are_off_by():
    standardised = []
    for seed in range(12):
        cells, levels, _, parameters = made_up(share=0.25, seed=seed)
        fit = fit_two_way(cells, parameters)
        standardised.append(
            (fit.encoders["mean"] - levels.reindex(fit.encoders.index)) / fit.encoders["sd"]
        )
    spread = np.sqrt((pd.concat(standardised) ** 2).mean())
    assert 0.8 < spread < 1.4  # what the tasks' own levels leave uncertain is not in the sd


def test_few_tasks_are_drawn_to_the_line_of_sizes_and_are_less_certain():
    cells, _, _, parameters = made_up()
    lone = cells[
        (cells["encoder"] != "e00")
        | (cells["task"] == cells.loc[cells["encoder"] == "e00", "task"].iloc[0])
    ]
    lone = lone.assign(accuracy=np.where(lone["encoder"] == "e00", 0.99, lone["accuracy"]))
    fit = fit_two_way(lone, parameters)
    level = fit.tasks.loc[lone.loc[lone["encoder"] == "e00", "task"].iloc[0]]
    raw = (0.99 - level["level"]) / level["sensitivity"]
    line = fit.slope * (np.log10(parameters["e00"]) - fit.mean_log_parameters)
    assert line < fit.encoders.loc["e00", "mean"] < raw
    assert fit.encoders.loc["e00", "sd"] > 2 * fit.encoders["sd"].median()


def test_unknown_sizes_are_no_obstacle():
    cells, levels, _, parameters = made_up()
    fit = fit_two_way(cells, parameters * np.nan)
    assert np.corrcoef(fit.encoders["mean"], levels)[0, 1] > 0.95
    assert fit.slope == pytest.approx(0.0, abs=1e-6)


def test_a_pair_given_twice_and_too_little_are_refused():
    cells, _, _, parameters = made_up()
    with pytest.raises(ValueError, match="twice"):
        fit_two_way(pd.concat([cells, cells.head(1)]), parameters)
    with pytest.raises(ValueError, match="3 encoders"):
        fit_two_way(cells[cells["encoder"].isin(["e00", "e01"])], parameters)
