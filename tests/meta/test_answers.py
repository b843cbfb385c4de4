import json
from pathlib import Path

import pytest

from cluster.storage import UserError
from meta.answers import Answers, load_answers
from meta.metric import Metric
from meta.schema import NoFinetuning

CONTRACT_FIELDS = {
    "": {
        "schema",
        "metric",
        "n_train",
        "target",
        "encoders",
        "data_needed",
        "label_next",
        "suspect_labels",
    }
    | {"model", "hyperparameters", "evidence", "warnings"},
    "encoders.0": {"encoder", "view", "p_best", "curve"},
    "encoders.0.view": {"layer", "pooling"},
    "encoders.0.curve.0": {"n_train", "q05", "q50", "q95"},
    "data_needed": {"encoder", "reachable", "q05", "q50", "q95"},
    "label_next.0": {"row", "text", "score", "reason"},
    "suspect_labels.0": {"row", "given", "likely", "score"},
    "model": {"encoder", "layers", "hidden_size", "parameters", "milliseconds_per_text"},
    "hyperparameters": {"probe", "finetune"},
    "evidence": {"metamodel", "tasks", "held_out_mae", "held_out_coverage_90"},
}
"""The fields of answers.json that readers rely on (docs/answers.md): these names never change."""


def example() -> Answers:
    """Answers in which every field and every list has a value."""
    space = {"encoder": "hf:x", "view": {"layer": 6, "pooling": "mean"}}
    held_out = {"accuracy": 0.74, "q05": 0.7, "q95": 0.78}
    curve = [
        {
            "n_train": 200 * factor,
            "q05": low,
            "q25": low + 0.02,
            "q50": low + 0.04,
            "q75": low + 0.06,
            "q95": low + 0.08,
        }
        for factor, low in ((1, 0.71), (2, 0.75), (4, 0.79), (8, 0.83), (16, 0.87))
    ]
    need = {"reachable": True, "status": "reachable", "q05": 420, "q50": 800, "q95": None}
    need |= {"p_reached_now": 0.0, "p_reachable": 0.6}
    chances = {"p_best": 0.61, "p_best_16x": 0.5, "p_within_tolerance": 0.7}
    return Answers(
        schema_version=1,
        metric=Metric.ACCURACY,
        n_train=200,
        n_train_given=203,
        n_eval=500,
        n_classes=2,
        class_counts={"ham": 150, "spam": 50},
        majority_share=0.75,
        constant_score=0.75,
        target=0.9,
        target_source="user",
        encoders=[{**space, **chances, "held_out": held_out, "curve": curve}],
        screened=[
            {**space, "view": {"layer": 1, "pooling": "max"}, "p_best": 0.39, "held_out": held_out}
        ],
        data_needed={
            **space,
            **need,
            "searched_up_to": 3200,
            "plan": [],
            "by_encoder": [{**space, **need}],
        },
        label_next=[
            {
                "row": 17,
                "text": "Win now",
                "score": 0.93,
                "reason": "uncovered region",
                "why": "because",
            }
        ],
        label_batch={"n_rows": 1, "gain": 0.001, "strategy": "typical"},
        suspect_labels=[
            {
                "row": 3,
                "text": "x",
                "given": "spam",
                "likely": "ham",
                "score": 0.97,
                "reason": "predicted otherwise",
            },
        ],
        model={
            **space,
            "layers": 6,
            "hidden_size": 384,
            "parameters": 22_000_000,
            "memory_mb": 88.0,
            "milliseconds_per_text": 1.9,
            "milliseconds_source": "measured",
            "metric_q50": 0.75,
            "best_q50": 0.75,
            "p_within_tolerance": 0.7,
            "neoberta": {"model": {"n_layers": 6}},
            "neoberta_source": "rule",
        },
        hyperparameters={
            "probe": {"probe": "ridge", "C": 0.1},
            "finetune": {"learning_rate": 3e-5, "epochs": 8},
        },
        evidence={
            "metamodel": "m",
            "tasks": 31,
            "held_out_mae": {"1x": 0.011},
            "held_out_coverage_90": 0.9,
            "in_training_range": True,
            "interval_factor": 1.0,
        },
        warnings=[],
    )


def test_the_names_of_the_contract_are_there():
    content = example().to_json()
    for place, names in CONTRACT_FIELDS.items():
        part = content
        for step in filter(None, place.split(".")):
            part = part[int(step)] if step.isdigit() else part[step]
        assert names <= set(part), place
    assert content["schema"] == 1 and "schema_version" not in content


def test_saved_answers_load_again_unchanged(tmp_path: Path):
    place = example().save(str(tmp_path / "out"))
    assert json.loads(Path(place).read_text())["schema"] == 1
    assert load_answers(str(tmp_path / "out")) == example()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["answers.json"]


def test_answers_of_another_schema_or_none_are_one_line(tmp_path: Path):
    with pytest.raises(UserError, match=r"no answers\.json there") as nothing:
        load_answers(str(tmp_path))
    (tmp_path / "answers.json").write_text('{"schema": 2}')
    with pytest.raises(UserError, match="schema 2, this version reads 1") as later:
        load_answers(str(tmp_path))
    assert all("\n" not in str(error.value) for error in (nothing, later))


def test_the_frame_has_one_row_per_point():
    frame = example().to_frame()
    assert list(frame["n_train"]) == [200, 400, 800, 1600, 3200]
    assert set(frame.columns) == {
        "encoder",
        "layer",
        "pooling",
        "p_best",
        "n_train",
        "times",
        "q05",
        "q25",
        "q50",
        "q75",
        "q95",
    }


def test_settings_that_were_not_given_are_not_written():
    given = {
        "probe": {"C": 0.1, "source": "leave-one-out"},
        "finetune": {"source": "rule", "reason": "no layers to train"},
    }
    content = example().to_json() | {"hyperparameters": given}
    answers = Answers.model_validate(content)
    assert json.dumps(answers.to_json()) == json.dumps(content)
    assert isinstance(answers.hyperparameters.finetune, NoFinetuning)
    later = {"probe": given["probe"], "finetune": {"learning_rate": 1e-5, "epochs": 3, "new": [1]}}
    content["hyperparameters"] = later
    assert Answers.model_validate(content).to_json()["hyperparameters"] == later
