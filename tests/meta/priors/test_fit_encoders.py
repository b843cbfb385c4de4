import numpy as np
import pandas as pd
import pytest

from meta.priors.encoders import OTHER_KIND
from meta.priors.fit_encoders import LevelFit, PartSds, fit_levels


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


SDS = PartSds(0.0, 0.04, 0.0, 1e-3, 0.0, 1e-3)


def fitted(cells, parameters, kinds=None, sds=SDS) -> LevelFit:
    names = cells["task"].unique()
    kinds = kinds or dict.fromkeys(names, OTHER_KIND)
    return fit_levels(cells, kinds, {name: name for name in names}, parameters, sds)


def test_the_model_that_made_the_cells_is_found_again():
    cells, levels, sensitivity, parameters = made_up()
    fit = fitted(cells, parameters)
    error = fit.mean[OTHER_KIND] - levels
    assert np.abs(error).mean() < 0.008
    assert np.corrcoef(fit.tasks["sensitivity"], sensitivity)[0, 1] > 0.95
    assert fit.tasks["interaction_sd"].median() == pytest.approx(0.02, rel=0.25)
    assert fit.slope == pytest.approx(0.03, abs=0.02)
    assert fit.tasks["sensitivity"].mean() == pytest.approx(1.0, abs=1e-6)


def test_standard_deviations_are_what_the_levels_are_off_by():
    standardised = []
    for seed in range(12):
        cells, levels, _, parameters = made_up(share=0.25, seed=seed)
        fit = fitted(cells, parameters)
        standardised.append(
            (fit.mean[OTHER_KIND] - levels.reindex(fit.mean.index)) / fit.sd[OTHER_KIND]
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
    fit = fitted(lone, parameters)
    level = fit.tasks.loc[lone.loc[lone["encoder"] == "e00", "task"].iloc[0]]
    raw = (0.99 - level["level"]) / level["sensitivity"]
    line = fit.slope * (np.log10(parameters["e00"]) - fit.mean_log_parameters)
    assert line < fit.mean.loc["e00", OTHER_KIND] < raw
    assert fit.sd.loc["e00", OTHER_KIND] > 2 * fit.sd[OTHER_KIND].median()


def test_unknown_sizes_are_no_obstacle():
    cells, levels, _, parameters = made_up()
    fit = fitted(cells, parameters * np.nan)
    assert np.corrcoef(fit.mean[OTHER_KIND], levels)[0, 1] > 0.95
    assert fit.slope == pytest.approx(0.0, abs=1e-6)


def test_a_pair_given_twice_and_too_little_are_refused():
    cells, _, _, parameters = made_up()
    with pytest.raises(ValueError, match="twice"):
        fitted(pd.concat([cells, cells.head(1)]), parameters)
    with pytest.raises(ValueError, match="3 encoders"):
        fitted(cells[cells["encoder"].isin(["e00", "e01"])], parameters)


def test_what_an_encoder_is_good_at_is_learnt_by_kind():
    cells, _, _, parameters = made_up()
    kinds = {name: ("topic", "intent")[i % 2] for i, name in enumerate(sorted(set(cells["task"])))}
    specialist = (cells["encoder"] == "e03") & (cells["task"].map(kinds) == "topic")
    cells = cells.assign(accuracy=cells["accuracy"] + 0.1 * specialist)
    fit = fitted(cells, parameters, kinds, PartSds(0.0, 0.04, 0.0, 0.03, 0.0, 1e-3))
    lead = fit.mean.loc["e03", "topic"] - fit.mean.loc["e03", "intent"]
    assert lead > 0.05
    others = (fit.mean["topic"] - fit.mean["intent"]).drop("e03")
    assert others.abs().mean() < 0.02
    assert (
        fit.mean.loc["e03", "intent"]
        < fit.mean.loc["e03", OTHER_KIND]
        < fit.mean.loc["e03", "topic"]
    )
    assert (fit.sd["topic"] < fit.sd[OTHER_KIND]).all(), "a new kind is less certain"


def test_encoders_of_one_publisher_teach_something_about_each_other():
    cells, _, _, parameters = made_up()
    first = cells["task"].iloc[0]
    cells = cells[(cells["encoder"] != "e00") | (cells["task"] == first)]
    shared = PartSds(0.08, 0.02, 0.0, 1e-3, 0.0, 1e-3)
    good = [f"e{i:02d}" for i in range(10, 16)]
    cells = cells.assign(accuracy=cells["accuracy"] + 0.15 * cells["encoder"].isin(good))
    alone = fitted(cells, parameters, sds=shared).mean.loc["e00", OTHER_KIND]
    names = {name: f"lab/{name}" for name in [*good, "e00"]}
    renamed = cells.assign(encoder=cells["encoder"].replace(names))
    together = fitted(renamed, parameters.rename(names), sds=shared).mean.loc["lab/e00", OTHER_KIND]
    assert together > alone + 0.02
