"""What the prior of encoders says about published tasks that were held back, and what was true.
Needs the shared data."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.mteb_held_out import (
    calibration,
    corrected,
    held_out_tasks,
    kind_in,
    proposals,
    statements,
)
from benchmarks.mteb_results import DATA, read_cells, read_encoders
from meta.priors.encoders import load_prior


@pytest.mark.skipif(not DATA.is_dir(), reason="needs shared/data/results/mteb")
def test_chances_come_true_as_often_as_was_said_and_the_choice_is_good():
    cells, encoders = read_cells(DATA), read_encoders(DATA)
    cells, rng = cells[cells["language"] == "english"], np.random.default_rng(0)
    regrets, said = [], []
    for prior, _, task, truth in held_out_tasks(cells, encoders, n_folds=4):
        best = prior.means[kind_in(prior, task)].reindex(truth.index).idxmax()
        regrets.append(truth.max() - truth[best])
        said.append(statements(prior, task, truth, encoders, frozenset(), 1, rng))
    every = pd.concat(said, ignore_index=True)
    assert 100 * np.mean(regrets) < 4.2
    assert calibration(every)["error"] < 0.06
    shown = calibration(proposals(corrected(every, load_prior().proposal_calibration)))
    assert abs(shown["said"] - shown["came"]) < 0.12
