"""Every YAML that ships is read, checked and planned."""

from importlib.resources import files
from pathlib import Path

import pytest

from cluster.storage import UserError
from probes.tasks.docs.registry import DOCS_TASKS
from ray_jobs.plan import n_views, plan_rows, probes_per_block
from ray_jobs.study import PRESETS, load_preset, load_study

CONFIGS = sorted(Path(str(files("ray_jobs") / "configs")).glob("*.yaml"))


def test_every_preset_ships():
    assert {path.stem for path in CONFIGS} == set(PRESETS)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_study_is_valid_and_can_be_planned(path):
    study = load_study(path)
    assert study.name == path.stem
    for task in [*study.tasks, study.characterize.task]:
        assert not task.startswith("docs/") or task.removeprefix("docs/") in DOCS_TASKS
    assert study.characterize.task not in study.tasks
    stages = {stage for stage, _, _ in plan_rows(study)}
    assert stages == {
        "tasks",
        "tokenizer",
        "pretrain",
        "embed",
        "sweep",
        "fit",
        "search",
        "characterize",
    }


@pytest.mark.parametrize("name", ["smoke", "laptop"])
def test_the_demonstration_task_shares_no_family_with_the_others(name):
    study = load_preset(name)
    family = {f"docs/{task}": recipe.family for task, recipe in DOCS_TASKS.items()}
    others = {family[task] for task in study.tasks}
    assert family[study.characterize.task] not in others
    assert len(others) >= 4  # three to fit a fold on, and one to leave out


def test_the_laptop_study_is_what_it_promises():
    study = load_preset("laptop")
    assert len({*study.tasks, study.characterize.task}) >= 8
    assert sum(task.endswith("_pair") for task in study.tasks) >= 2
    assert len({run.model.n_layers for run in study.neobertas.values()}) >= 2
    assert max(run.n_workers for run in study.neobertas.values()) == 2
    assert {encoder.ref for encoder in study.encoders} >= {"lsa:256", "hf:all-MiniLM-L6-v2"}
    assert any(encoder.ref.startswith("random:") for encoder in study.encoders)
    assert len(study.sweep.sizes) >= 6 and min(study.sweep.sizes) == 16 and study.sweep.n_seeds >= 5
    assert 10 * 21 * probes_per_block(study) >= 10_000  # MiniLM alone


def test_the_plan_counts_one_as_one():
    amounts = [
        amount
        for _, what, amount in plan_rows(load_preset("smoke"))
        if what in ("lsa:256", "neoberta-1x64")
    ]
    assert "1 view" in amounts and "6 views" in amounts
    assert any(", 1 worker, " in amount for amount in amounts)


def test_the_full_study_plans_glue_and_the_hub_encoders():
    study = load_preset("full")
    rows = plan_rows(study)
    assert {what for stage, what, _ in rows if stage == "tasks"} >= {
        "glue/cola",
        "glue/mnli",
        "glue/rte",
        "glue/sst2",
    }
    embedded = " ".join(what for stage, what, _ in rows if stage == "embed")
    for name in (
        "bert-base-uncased",
        "roberta-base",
        "distilbert",
        "albert",
        "electra",
        "deberta",
        "ModernBERT",
        "neoberta-12x384",
    ):
        assert name in embedded
    assert all(n_views(study, encoder) for encoder in study.encoders)
    counted, cost = [how_much for stage, _, how_much in rows if stage == "sweep"]
    n_blocks = 18 * sum(n_views(study, encoder) or 0 for encoder in study.encoders)
    assert f"{n_blocks * probes_per_block(study):,} probes" in counted
    assert float(cost.split()[1]) > 1 and "core-hours" in cost


@pytest.mark.parametrize(
    ("overrides", "tasks", "message"),
    [
        (["sweep.n_seed=3"], [], "did you mean n_seeds"),
        (["neobertas.x={}", "encoders.0.ref=neoberta:y"], [], "names no NeoBERTa of this study"),
        ([], ["docs/library"], "listed twice"),
        (["neobertas.neoberta-2x64.model.hidden_size=65"], [], "hidden_size 65"),
        (["characterize.target=2"], [], "characterize.target"),
        (["encoders.0.layers=[-1]"], [], "encoders.0.layers"),
        (["encoders.0.layers=[]"], [], "encoders.0.layers"),
        (["metamodel.observations.sizes=[17]"], [], "17 is not among sweep.sizes"),
        (["metamodel.observations.subset=uniform"], [], "uniform is not among sweep.subsets"),
        (["search.space.hidden_size=[65]"], [], "multiples of 64"),
        (["search.space.lr=[1,0]"], [], "0 < low < high"),
        (["tasks=5"], ["a.csv"], "must be a list"),
        (["tasks=[docs/libary]"], [], "did you mean docs/library? Known: library, "),
        (["tasks=[docs/nope]"], [], "smoke.yaml: docs/nope: no such task; known: library, "),
        (["seed=-1"], [], "seed"),
    ],
)
def test_a_mistake_in_a_study_is_one_line(overrides, tasks, message):
    with pytest.raises(UserError) as error:
        load_preset("smoke", overrides, tasks)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(UserError, match="smoke, laptop, full"):
        load_preset("desktop")
