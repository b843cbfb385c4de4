"""Settings: those of the probe, those of fine-tuning, and the agreement of the published numbers
with those that the benchmark derives."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from meta.answering.q6_hyperparameters import (
    LOG_ERROR_RATIOS,
    REFERENCE_LR,
    finetune_gain,
    finetune_settings,
    probe_settings,
)
from meta.metric import Metric
from probes.encoders.base import EncoderInfo, View
from probes.features.crossfit import PENALTIES, fit_ridge


def encoder(n_parameters: int = 110_000_000, n_layers: int = 12) -> EncoderInfo:
    return EncoderInfo(
        "hf:x", "0" * 16, "hf", n_layers, 768, n_parameters, 512, (View(n_layers, "mean"),)
    )


def test_the_probes_c_is_the_one_of_leave_one_out_between_its_neighbours():
    rng = np.random.default_rng(0)
    fit = fit_ridge(rng.standard_normal((60, 8)), np.arange(60) % 3, 3)
    settings = probe_settings(fit)
    assert settings["C"] == pytest.approx(1 / fit.penalty) and settings["source"] == "leave-one-out"
    assert settings["C_low"] <= settings["C"] <= settings["C_high"] <= 1 / min(PENALTIES)


def test_epochs_make_up_for_few_rows_and_say_when_they_are_beyond_what_was_tried():
    few, some, many = (finetune_settings(encoder(), 12, n) for n in (200, 3200, 100_000))
    assert (few["epochs"], some["epochs"], many["epochs"]) == (20, 5, 2)
    assert few["epochs_extrapolated"] and not some["epochs_extrapolated"]
    assert few["learning_rate"] == REFERENCE_LR == 2e-5
    assert few["learning_rate_low"] < few["learning_rate"] < few["learning_rate_high"]
    assert finetune_settings(encoder(20_000_000), 6, 200)["learning_rate"] > REFERENCE_LR


def test_a_space_without_layers_is_not_fine_tuned():
    settings = finetune_settings(encoder(n_layers=0), 0, 100)
    assert settings["source"] == "rule" and "no trainable layers" in settings["reason"]


def test_the_gain_at_a_published_size_is_the_published_one():
    mean, sd, n_sets = LOG_ERROR_RATIOS["ordinary"][8]
    gain = finetune_gain("ordinary", 8, 0.8)
    assert gain["q50"] == pytest.approx(0.2 * (1 - np.exp(mean))) and gain["q50"] < 0
    half = student.ppf(0.95, n_sets - 1) * sd * np.sqrt(1 + 1 / n_sets)
    assert gain["q95"] == pytest.approx(0.2 * (1 - np.exp(mean - half)))
    assert not gain["extrapolated"]


def test_the_gain_turns_positive_with_more_rows_and_is_wider_beyond_the_published_ones():
    few, many = (finetune_gain("ordinary", rows, 0.8) for rows in (8, 64))
    assert few["q50"] < 0 < many["q50"]
    inside, outside = (finetune_gain("contrastive", rows, 0.8) for rows in (8, 1))
    assert outside["extrapolated"] and outside["q50"] == pytest.approx(inside["q50"])
    assert outside["q95"] - outside["q05"] > inside["q95"] - inside["q05"]


def test_fine_tuning_loses_no_more_than_what_the_commonest_class_leaves():
    assert finetune_gain("ordinary", 8, 0.7, floor=0.6)["q05"] == pytest.approx(-0.1)
    assert finetune_gain("ordinary", 8, 0.5, floor=0.6)["q05"] == 0


@pytest.mark.parametrize("position", [0, 3, -1])
def test_a_c_at_the_end_of_the_grid_is_told(position: int):
    rng = np.random.default_rng(0)
    fit = replace(
        fit_ridge(rng.standard_normal((60, 8)), np.arange(60) % 3, 3), penalty=PENALTIES[position]
    )
    assert probe_settings(fit)["C_is_at_end"] == (position in (0, -1))


@pytest.mark.parametrize(Metric.ACCURACY, [0.0, 0.5, 1.0])
def test_no_gain_leaves_the_range_of_an_accuracy(accuracy: float):
    for kind in LOG_ERROR_RATIOS:
        gain = finetune_gain(kind, 1, accuracy)
        assert all(0 <= accuracy + gain[name] <= 1 for name in ("q05", "q50", "q95"))


def test_the_published_numbers_are_those_that_the_benchmark_derives():
    from benchmarks.finetuning import DATA, measured_constants

    if not (DATA / "results" / "setfit_fewshot").is_dir():
        pytest.skip(f"needs the published runs in {DATA / 'results'}")
    found = measured_constants(with_probes=False)
    assert found["learning_rate"] == REFERENCE_LR
    for kind, rows in found["log_error_ratio"].items():
        for shots, values in rows.items():
            assert LOG_ERROR_RATIOS[kind][int(shots)] == pytest.approx(tuple(values))
