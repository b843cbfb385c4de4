"""What the stages do with tasks and observations before and after the heavy work; no Ray."""

import pandas as pd
import pytest

from cluster.storage import UserError
from ray_jobs.stages import fit, observe
from ray_jobs.stages.observe import observed_views, training_frame
from ray_jobs.stages.tasks import TaskRow, check_families, make_tasks
from ray_jobs.study import Study, load_preset


def row(name: str, fingerprint: str, family: str) -> TaskRow:
    return TaskRow(
        name=name,
        fingerprint=fingerprint,
        family=family,
        n_train=100,
        n_test=50,
        n_classes=2,
        is_pair=False,
    )


def study(tmp_path, *tasks: str, held_out: str = "docs/section") -> Study:
    overrides = [f"tasks=[{', '.join(tasks)}]"] if tasks else []
    return Study(
        load_preset("smoke", [*overrides, f"characterize.task={held_out}"]),
        str(tmp_path / "out"),
        n_stages=1,
    )


def write_task(path, offset: int = 0) -> str:
    rows = [
        f"text number {i + offset} about {'cats' if i % 2 else 'dogs'},{'cat' if i % 2 else 'dog'}"
        for i in range(40)
    ]
    path.write_text("text,label\n" + "\n".join(rows))
    return str(path)


def test_the_demonstration_task_is_left_out_under_whatever_name_its_file_was_written(
    tmp_path, monkeypatch
):
    stored = pd.DataFrame(
        {
            "task": ["old-name.csv", "b"],
            "task_family": ["old-name.csv", "b"],
            "task_fingerprint": ["f1", "f2"],
            "truth": [0.5, 0.6],
        }
    )
    monkeypatch.setattr(observe, "observation_table", lambda *_, **__: stored.copy())
    monkeypatch.setattr(observe, "load_results", lambda *_: None)
    tasks = [row("docs/section", "f1", "now"), row("b", "f2", "b")]
    frame = training_frame(study(tmp_path), tasks, ["k"], ["p"])
    assert frame["task_fingerprint"].tolist() == ["f2"]


def test_the_same_rows_under_two_names_are_refused(tmp_path):
    first, second = write_task(tmp_path / "a.csv"), write_task(tmp_path / "b.csv")
    with pytest.raises(UserError, match="are the same task"):
        make_tasks(
            study(tmp_path, first, second, held_out=write_task(tmp_path / "c.csv", 100)),
            lambda *_: None,
        )


def test_an_edited_file_is_another_task(tmp_path):
    path = tmp_path / "a.csv"
    inside = study(tmp_path, write_task(path), held_out=write_task(tmp_path / "c.csv", 100))
    before = make_tasks(inside, lambda *_: None)[0]
    write_task(path, 1000)
    assert make_tasks(inside, lambda *_: None)[0].fingerprint != before.fingerprint


def test_too_few_families_are_known_before_anything_is_embedded():
    config = load_preset("smoke")
    tasks = [
        row("docs/section", "f0", "s"),
        *(row(f"t{i}", f"f{i + 1}", f"family{i % 3}") for i in range(6)),
    ]
    with pytest.raises(UserError, match="3 families"):
        check_families(config, tasks)
    check_families(config, [*tasks, row("t9", "f9", "family9")])
    beside_shipped = config.model_copy(
        update={"metamodel": config.metamodel.model_copy(update={"with_shipped": True})}
    )
    check_families(beside_shipped, tasks[:2])
    with pytest.raises(UserError, match="0 families"):
        check_families(beside_shipped, tasks[:1])


def test_the_demonstration_family_is_hidden_in_the_shipped_observations_too(tmp_path, monkeypatch):
    shipped = pd.DataFrame(
        {
            "task_fingerprint": ["s0", "s1", "f1", "s3"],
            "task_family": ["ours", "ours", "its name with us", "its name with us"],
        }
    )
    monkeypatch.setattr(fit, "shipped_observations", lambda metric: shipped)
    tasks = [row("docs/section", "f1", "now"), row("b", "f2", "b")]
    assert fit.shipped_but_left_out(study(tmp_path), tasks)["task_fingerprint"].tolist() == [
        "s0",
        "s1",
    ]


def test_observed_views_are_spread_over_depth():
    from probes.encoders.base import View

    every = tuple(View(layer, pooling) for layer in range(7) for pooling in ("cls", "max", "mean"))
    chosen = observed_views(every, 4)
    assert len(chosen) == 4 and chosen[0].layer == 0 and chosen[-1].layer == 6
    assert observed_views(every[:2], 4) == tuple(sorted(every[:2]))


def test_tuning_asks_for_what_its_stage_needs_and_takes_the_best_of_every_fold(
    tmp_path, monkeypatch
):
    from cluster import tune
    from cluster.tune import Outcome
    from meta.metamodel import tuning
    from meta.metamodel.fitting import FitSettings

    inside = study(tmp_path)
    monkeypatch.setattr(inside, "need_ray", lambda: None)
    monkeypatch.setattr(tuning, "CANDIDATES", (FitSettings(n_rounds=1), FitSettings(n_rounds=2)))
    monkeypatch.setattr(
        fit,
        "run_tuning",
        lambda piece: {"loss": abs(piece["settings"]["n_rounds"] - 1 - len(piece["fold"]))},
    )

    def in_turn(run, configs, *, name, cpus, on_done):
        assert (name, cpus) == ("tune", 1)
        return [Outcome(config, run(config), None) for config in configs]

    monkeypatch.setattr(tune, "fan_out", in_turn)
    learnt = pd.DataFrame({"task_family": ["a", "b"], "truth": [0.5, 0.6]})
    found = fit.tuned_settings(inside, lambda *_: None, learnt, [("a",)], "key")
    assert {fold: settings.n_rounds for fold, settings in found.items()} == {("a",): 2, (): 1}
    assert inside.storage.exists("tuning/key.parquet")


def test_one_space_alone_has_no_prior(tmp_path, monkeypatch):
    tasks = [row(f"t{i}", f"f{i}", f"family{i}") for i in range(5)]
    truths = pd.DataFrame(
        {
            "task_fingerprint": [f"f{i}" for i in range(5)],
            "task_family": [f"family{i}" for i in range(5)],
            **{"encoder_fingerprint": "e", "layer": 0, "pooling": "mean"},
        }
    )
    monkeypatch.setattr(
        fit, "load_results", lambda *_: type("Table", (), {"to_pandas": lambda self: None})()
    )
    monkeypatch.setattr(fit, "space_truths", lambda *_: truths)
    assert fit.prior_of_views(study(tmp_path), tasks, ["p"]) is None
