"""Made-up results in the shape of a real study, for the tests of the report: power laws with noise,
no measurement in them."""

import numpy as np
import pandas as pd

from meta.answering.q3_label_next import strategy
from meta.report.six_answers import six_answers
from meta.report.study_data import (
    EncoderSummary,
    PilotReportData,
    PretrainedModel,
    StageTime,
    TaskSummary,
)
from meta.report.study_summaries import (
    depth_curves,
    horizons,
    learning_curves,
    measured_spaces,
    regularisation_curves,
)
from meta.schema import AnswersContent, DataNeeded
from meta.search import Candidate

ENCODERS = {
    "hf:all-MiniLM-L6-v2": (6, 0.06),
    "neoberta:deep": (4, 0.12),
    "neoberta:wide": (2, 0.14),
    "random:deep": (4, 0.24),
}
ENCODERS["lsa:256"] = (0, 0.13)
TASKS = (
    "library",
    "scipy-area",
    "sklearn-area",
    "torch-area",
    "kind",
    "section",
    "summary-body",
    "deprecated",
    "returns",
)
SIZES = (16, 32, 64, 128, 256, 512, 1024)
EXAMPLE = "docs/returns"


def loss(task: int, floor: float, layer: int, n_layers: int, n_train: float) -> float:
    """A made-up loss: a power law in n, lowest at two thirds of the depth."""
    depth = abs(layer - 0.67 * n_layers) / max(n_layers, 1)
    return floor + 0.02 * (task % 4) + 0.07 * depth + (0.9 + 0.25 * (task % 3)) * n_train**-0.5


def probe_results(seed: int = 0) -> pd.DataFrame:
    """Rows with the columns of `probes.sweep.results` that the report reads."""
    rng, rows = np.random.default_rng(seed), []
    for t, task in enumerate(TASKS):
        for encoder, (n_layers, floor) in ENCODERS.items():
            for layer in range(n_layers + 1):
                for n_train in SIZES:
                    for draw in range(3):
                        for c, penalty in ((0.01, 0.05), (1.0, 0.0), (100.0, 0.03)):
                            value = (
                                1
                                - loss(t, floor, layer, n_layers, n_train)
                                - penalty
                                + rng.normal(0, 0.25 / n_train**0.5 / 4)
                            )
                            rows.append(
                                (
                                    f"docs/{task}",
                                    encoder,
                                    layer,
                                    "mean",
                                    n_train,
                                    "uniform",
                                    draw,
                                    "ridge",
                                    c,
                                    c == 1.0,
                                    value,
                                )
                            )
    columns = [
        "task",
        "encoder",
        "layer",
        "pooling",
        "n_train",
        "subset",
        "seed",
        "probe",
        "C",
        "C_selected",
        "accuracy",
    ]
    frame = pd.DataFrame(rows, columns=columns)
    frame["accuracy"] = frame["accuracy"].clip(0.02, 0.995)
    return frame.assign(
        loo_accuracy=(frame["accuracy"] + rng.normal(0, 0.01, len(frame))).clip(0, 1)
    )


def held_out(seed: int = 1) -> pd.DataFrame:
    """Rows with the columns of `meta.metamodel.held_out.held_out_predictions` that the report
    reads."""
    rng, n_rows = np.random.default_rng(seed), 1800
    factor = rng.choice([1, 2, 4, 8, 16], n_rows)
    truth, scale = rng.uniform(0.45, 0.93, n_rows), 0.012 + 0.006 * np.log2(factor)
    predicted = truth + rng.normal(0, 1, n_rows) * scale
    tasks = rng.choice(TASKS, n_rows)
    frame = pd.DataFrame(
        {
            "task": tasks,
            "task_fingerprint": tasks,
            "factor": factor,
            "truth": truth,
            "q50": predicted,
        }
    )
    return frame.assign(q05=predicted - 1.7 * scale, q95=predicted + 1.7 * scale)


def evaluation() -> dict:
    """The tables of `meta.metamodel.evaluation.evaluation_tables`."""
    names = (
        "metamodel",
        "last",
        "loo",
        "pow2",
        "pow3",
        "pow4",
        "octaves",
        "anchor",
        "encoder_mean",
    )
    grow = {
        "metamodel": 1.0,
        "last": 2.6,
        "loo": 2.1,
        "pow2": 1.4,
        "pow3": 1.3,
        "pow4": 1.6,
        "octaves": 1.9,
        "anchor": 1.15,
    }
    factors = ("1x", "2x", "4x", "8x", "16x")
    mae = {
        f: {name: 1.6 + grow.get(name, 0.2) * k + 3.8 * (name == "encoder_mean") for name in names}
        for k, f in enumerate(factors)
    }
    mae["1x"]["loo"] = 1.5
    cover = {
        level: {
            f: {"coverage": held - 0.01 * k, "width_points": width * (1 + k / 3)}
            for k, f in enumerate(("all", *factors))
        }
        for level, held, width in (("50", 0.53, 2.6), ("80", 0.81, 5.2), ("90", 0.91, 6.9))
    }
    return {
        "metric": "accuracy",
        "n_tasks": 8,
        "n_views": 20,
        "n_rows": 9120,
        "mae_points": mae,
        "coverage": cover,
        "tasks_covered_80": 0.875,
        "required_n_within_2x": {
            "4x": {
                "n_questions": 410.0,
                "metamodel": 0.71,
                "metamodel_if_reached": 0.75,
                "pow2": 0.55,
                "pow3": 0.52,
            }
        },
        "regret_at_1_points": {
            name: {"mean": m, "p90": 3 * m, "n_choices": 96.0}
            for name, m in (("metamodel", 0.4), ("logme", 1.6))
        },
        "mae_points_by_task": {
            f"docs/{t}": {"metamodel": 2.0, "loo": 4.1, "pow3": 2.9, "coverage_90": 0.9}
            for t in TASKS[:-1]
        },
    }


def curve(floor: float, layer: int, n_layers: int) -> list[dict]:
    """A forecast from 200 rows to 16 times as many."""
    points = []
    for factor in 2 ** (np.arange(9) / 2):
        n_train, spread = round(200 * factor), 0.014 + 0.007 * np.log2(factor)
        middle = 1 - loss(8, floor, layer, n_layers, n_train) + 0.004
        quantiles = {
            name: middle + z * spread
            for name, z in (("q05", -1.9), ("q25", -0.7), ("q50", 0.0), ("q75", 0.7), ("q95", 1.6))
        }
        points.append({"n_train": n_train, **quantiles})
    return points


def answers() -> dict:
    """The content of an answers.json."""
    spaces = []
    for encoder, (n_layers, floor) in ENCODERS.items():
        for layer in {n_layers, round(0.67 * n_layers)}:
            points = curve(floor, layer, n_layers)
            space = {
                "encoder": encoder,
                "view": {"layer": layer, "pooling": "mean"},
                "p_within_tolerance": 0.2,
                "curve": points,
            }
            held = points[0]["q50"] - 0.01
            spaces.append(
                space | {"held_out": {"accuracy": held, "q05": held - 0.05, "q95": held + 0.05}}
            )
    spaces.sort(key=lambda space: -space["curve"][0]["q50"])
    for position, space in enumerate(spaces):
        space |= {"p_best": 0.62 * 0.4**position, "p_best_16x": 0.55 * 0.45**position}
    best = spaces[0]
    need = {
        "encoder": best["encoder"],
        "view": best["view"],
        "reachable": True,
        "status": "reachable",
        "p_reached_now": 0.02,
    }
    need |= {"q05": 290, "q50": 520, "q95": 1750, "p_reachable": 0.97}
    worse = {
        **need,
        "encoder": "lsa:256",
        "view": {"layer": 0, "pooling": "mean"},
        "reachable": False,
        "status": "uncertain",
    }
    worse |= {"q05": 2400, "q50": None, "q95": None, "p_reached_now": 0.0, "p_reachable": 0.11}
    rounds = [(75, 275, 0.855, 0.12), (103, 378, 0.87, 0.29), (142, 520, 0.88, 0.5)]
    plan = [
        {
            "round": k + 1,
            "label": n,
            "n_train": total,
            "q05": q50 - 0.03,
            "q50": q50,
            "q95": q50 + 0.03,
            "p_reached": chance,
        }
        for k, (n, total, q50, chance) in enumerate(rounds)
    ]
    text = (
        "Return the cumulative sum of the elements along a given axis, treating Not a Numbers"
        " (NaNs) as zero."
    )
    reasons = [
        (
            "uncovered region",
            "typical of 9% of the evaluation rows, where 3 of 200 labelled rows lie",
        )
    ]
    reasons += [("uncertain", "the probe hesitates between 'array' (48%) and 'scalar' (44%)")]
    reasons += [("rare class", "may be 'iterator' (31%), which has 4 of 200 labelled rows")]
    picks = [
        {
            "row": 17 * k + 3,
            "text": text,
            "text_pair": None,
            "score": 0.95 - 0.03 * k,
            "reason": reasons[k % 3][0],
            "why": reasons[k % 3][1],
        }
        for k in range(12)
    ]
    suspects = [
        {
            "row": 3 + 40 * k,
            "text": text,
            "given": "scalar",
            "likely": "array",
            "score": 0.97 - 0.05 * k,
            "reason": "predicted otherwise",
        }
        for k in range(4)
    ]
    model = {
        "encoder": best["encoder"],
        "view": best["view"],
        "layers": 4,
        "hidden_size": 384,
        "parameters": 19_200_000,
    }
    model |= {
        "memory_mb": 76.8,
        "milliseconds_per_text": 2.94,
        "milliseconds_source": "measured",
        "p_within_tolerance": 0.81,
    }
    model |= {
        "metric_q50": best["curve"][0]["q50"],
        "best_q50": best["curve"][0]["q50"],
        "neoberta_source": "depth and width by rule",
    }
    finetune = {
        "learning_rate": 4.5e-5,
        "epochs": 20,
        "batch_size": 16,
        "warmup_ratio": 0.1,
        "frozen_layers": 2,
        "source": "rule",
    }
    return {
        "schema": 1,
        "metric": "accuracy",
        "n_train": 200,
        "n_train_given": 200,
        "n_eval": 500,
        "n_classes": 4,
        "class_counts": {"array": 96, "scalar": 61, "mapping": 39, "iterator": 4},
        "majority_share": 0.48,
        "constant_score": 0.48,
        "target": 0.88,
        "target_source": "user",
        "encoders": spaces,
        "screened": [
            {
                "encoder": "random:deep",
                "view": {"layer": 0, "pooling": "cls"},
                "p_best": 0.001,
                "held_out": {"accuracy": 0.5, "q05": 0.43, "q95": 0.57},
            }
        ],
        "data_needed": need | {"searched_up_to": 3200, "plan": plan, "by_encoder": [worse, need]},
        "label_next": picks,
        "label_batch": {
            "n_rows": 12,
            "gain": 0.006,
            "strategy": strategy(200, 4),
        },
        "suspect_labels": suspects,
        "model": (
            model
            | {
                "neoberta": {
                    "n_layers": 4,
                    "hidden_size": 384,
                    "n_heads": 6,
                    "lr": 0.0017,
                    "mask_rate": 0.3,
                }
            }
        ),
        "hyperparameters": {
            "probe": {"probe": "ridge", "C": 0.31, "source": "leave-one-out"},
            "finetune": finetune,
        },
        "evidence": {
            "metamodel": "laptop",
            "tasks": 8,
            "held_out_mae": {"1x": 0.016, "4x": 0.031, "16x": 0.056},
            "held_out_coverage_90": 0.91,
            "held_out_required_n_within_2x": {"4x": {"q50": 0.71, "n_if_reached": 0.75}},
            "in_training_range": True,
            "interval_factor": 1.0,
        },
        "warnings": [
            "a single labelled row in class 'x': nothing measures how well it is told apart"
        ],
    }


def said(anchor: str, **changes: object) -> str:
    """The sentence of the question at that section of the page, with parts of the answers
    changed."""
    content = AnswersContent.model_validate({**answers(), **changes})
    return next(each.sentence for each in six_answers(content, {}) if each.anchor == anchor)


def data_needed(**changes: object) -> DataNeeded:
    """The answer to the first question, changed."""
    return DataNeeded.model_validate(answers()["data_needed"] | changes)


def candidates() -> tuple[Candidate, ...]:
    """A meta-search's table; the third is chosen."""
    tried = [
        (1, 64, 0.61, 5.9),
        (2, 128, 0.66, 5.4),
        (3, 128, 0.682, 5.2),
        (4, 192, 0.684, 5.1),
        (4, 64, 0.645, 5.6),
        (2, 192, 0.671, 5.3),
    ]
    return tuple(
        Candidate(
            n_layers=layers,
            hidden_size=width,
            lr=0.0021,
            mask_rate=0.27,
            n_parameters=8192 * width + layers * 12 * width**2,
            n_tokens=200_000,
            validation_loss=nats,
            predicted=value,
            predicted_low=value - 0.03,
            predicted_high=value + 0.028,
            predicted_n_train=512,
            measured=value - 0.07,
            seconds=24.0 + 3 * layers,
            chosen=position == 2,
        )
        for position, (layers, width, value, nats) in enumerate(tried)
    )


def pilot_data() -> PilotReportData:
    """A whole study."""
    results = probe_results()
    learnt = results[results["task"] != EXAMPLE]
    tokens = np.linspace(2e4, 1.6e6, 40)
    models = tuple(
        PretrainedModel(
            name=name,
            n_layers=layers,
            hidden_size=width,
            n_parameters=8192 * width + layers * 12 * width**2,
            n_tokens=1_600_000,
            n_workers=workers,
            seconds=92.0,
            validation_loss=last,
            unigram_loss=6.6,
            losses=tuple((float(t), float(last + 3.4 * np.exp(-t / 3e5))) for t in tokens),
        )
        for name, layers, width, workers, last in (
            ("deep", 4, 192, 2, 4.7),
            ("wide", 2, 128, 1, 5.0),
        )
    )
    stages = (
        ("Tasks", 118.0),
        ("NeoBERTas", 201.3),
        ("Embeddings", 142.0),
        ("Sweep", 96.5),
        ("Metamodel", 61.0),
        ("Answers", 14.2),
    )
    return PilotReportData(
        title="The pilot study",
        preset="laptop",
        created_at="2026-11-20 14:05",
        command="make pilot",
        environment={
            "cores": "2",
            "memory": "8 GB",
            "python": "3.11.7",
            "ray": "2.60.0",
            "torch": "2.13.0",
        },
        stages=tuple(
            StageTime(stage=stage, seconds=seconds, note="")
            for stage, seconds in (*stages, ("Meta-search", 176.0))
        ),
        n_probes=len(results),
        tasks=tuple(
            TaskSummary(
                name=f"docs/{task}",
                n_train=3000,
                n_test=1000,
                n_classes=4,
                constant_score=0.3,
                left_out=f"docs/{task}" == EXAMPLE,
            )
            for task in TASKS
        ),
        encoders=tuple(
            EncoderSummary(
                name=name,
                n_layers=layers,
                hidden_size=384,
                n_parameters=22_700_000,
                n_views=3 * (layers + 1),
            )
            for name, (layers, _) in ENCODERS.items()
        ),
        pretrained=models,
        learning_curves=learning_curves(learnt),
        depth_curves=depth_curves(learnt),
        regularisation=regularisation_curves(learnt),
        answers=answers(),
        answers_task=EXAMPLE,
        answers_truth=measured_spaces(results, EXAMPLE),
        evaluation=evaluation(),
        horizons=horizons(held_out()),
        candidates=candidates(),
        thin=(
            "All tasks come from one source, the documentation of Python packages.",
            "Fine-tuning settings are rules of thumb.",
        ),
    )
