"""From what a study keeps of its tasks and encoders to the rows of the report's tables."""

import numpy as np
import pytest

from probes.encoders.base import EncoderInfo, View
from probes.tasks.store import save_task
from probes.tasks.task import Split, Task
from ray_jobs.stages.embed import EncoderRow
from ray_jobs.stages.report import encoder_summary, task_summary
from ray_jobs.stages.tasks import TaskRow
from ray_jobs.study import Study, load_preset


def test_a_task_knows_what_chance_is_on_its_labelled_test_rows(tmp_path):
    def split(labels: list[int]) -> Split:
        return Split(
            tuple(f"text {row}" for row in range(len(labels))), np.array(labels, dtype=np.int64)
        )

    task = Task(
        "docs/kind",
        ("a", "b", "c"),
        {"train": split([0, 1, 2, 2]), "test": split([0, 1, 1, 1, -1])},
    )
    facts = {"n_train": 4, "n_test": 5, "n_classes": 3, "is_pair": False}
    row = TaskRow(name=task.name, fingerprint=task.fingerprint, family="kind", **facts)
    with Study(load_preset("smoke"), str(tmp_path), n_stages=1) as study:
        save_task(task, study.storage)
        summary = task_summary(study, row, "docs/kind")
    assert summary.constant_score == pytest.approx(0.75)
    assert summary.left_out and summary.description == "module, class, function or method"


def test_the_untrained_control_says_whose_shape_it_has():
    def row(name: str, family: str) -> EncoderRow:
        views = (View(2, "mean"),)
        info = EncoderInfo(
            name,
            "0" * 16,
            family,
            n_layers=4,
            hidden_size=8,
            n_parameters=100,
            max_length=16,
            views=views,
        )
        return EncoderRow(name=name, ref=name, info=info, views=views)

    assert (
        encoder_summary(row("random:deep", "random")).note
        == "the shape of deep, untrained: the control"
    )
    assert encoder_summary(row("deep", "neoberta")).note == "pretrained by this study"
    assert encoder_summary(row("hf:x", "hf")).note == ""
