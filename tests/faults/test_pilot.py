"""The whole study: it ends, it is not done twice, and being killed does not change what comes
out."""

import json
import re
import signal
from pathlib import Path

import pandas as pd
import pytest
from pilot_runs import finish, probe_table, snapshot, start_pilot, stop_when

from meta.answers import Answers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    result = finish(start_pilot(out))
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert not re.search(r"\bray\b.*(INFO|WARNING)|raylet|\(pid=", result.stderr), (
        "Ray's chatter reached the terminal"
    )
    assert f"report: {out}/reports/report.html" in result.stdout
    assert (
        len([line for line in result.stdout.splitlines() if line.strip()]) == 7
    )  # where the report is, and six answers
    return out


def test_every_room_left_its_artefacts(undisturbed):
    probes = probe_table(undisturbed)
    assert len(probes) >= 10_000
    assert probes["n_train"].nunique() >= 6 and probes["n_train"].min() == 16
    assert probes["seed"].nunique() >= 5
    assert {
        "neoberta-1x64",
        "neoberta-2x64",
        "random:neoberta-2x64",
        "lsa:256",
        "hf:all-MiniLM-L6-v2",
    } == set(probes["encoder"])
    assert len(list((undisturbed / "checkpoints").glob("*/model.safetensors"))) == 2
    assert probes["accuracy"].between(0, 1).all()


def test_trained_and_pretrained_encoders_beat_chance_on_average(undisturbed):
    probes = probe_table(undisturbed)
    best = (
        probes[probes["C_selected"] & (probes["n_train"] == probes["n_train"].max())]
        .groupby(["task", "encoder"])["accuracy"]
        .max()
    )
    minilm = best.xs("hf:all-MiniLM-L6-v2", level="encoder")
    assert (minilm.mean() > 0.5) and (minilm > 0.3).all()


def test_the_answers_are_complete(undisturbed):
    (path,) = (undisturbed / "characterizations").glob("*/answers.json")
    answers = Answers.model_validate(json.loads(path.read_text()))
    assert answers.n_train == 100
    assert answers.label_next and answers.encoders
    for space in answers.encoders:
        sizes = [point.n_train for point in space.curve]
        assert set(sizes) >= {100, 200, 400, 800, 1600}
        assert all(point.q05 <= point.q50 <= point.q95 for point in space.curve)
    assert sum(space.p_best for space in answers.encoders) <= 1 + 1e-6


def test_the_report_is_one_page_that_needs_nothing_else(undisturbed):
    page = (undisturbed / "reports" / "report.html").read_text()
    assert not re.search(r'(src|href)\s*=\s*"(https?:)?//', page)
    assert "<svg" in page and "neoberta-2x64" in page


def test_a_second_run_makes_nothing_anew_and_says_so(undisturbed):
    before = snapshot(undisturbed)
    result = finish(start_pilot(undisturbed))
    assert result.returncode == 0, result.stderr
    assert snapshot(undisturbed) == before
    assert "already there" in result.stderr


@pytest.mark.kills
def test_killed_and_interrupted_runs_end_with_the_same_tables(undisturbed, tmp_path):
    stops = [
        ("checkpoints", 1, signal.SIGKILL),  # between two NeoBERTas
        ("embeddings", 4, signal.SIGKILL),  # while texts are encoded
        ("probes", 10, signal.SIGKILL),  # in the sweep
        ("probes", 40, signal.SIGINT),  # the same, with Ctrl-C
        ("search", 1, signal.SIGKILL),  # in the meta-search
    ]
    hits = [
        stop_when(start_pilot(tmp_path), tmp_path / place, n_files, how)
        for place, n_files, how in stops
    ]
    assert sum(hits) >= 4
    result = finish(start_pilot(tmp_path))
    assert result.returncode == 0, result.stderr
    pd.testing.assert_frame_equal(probe_table(tmp_path), probe_table(undisturbed))
    for kind in ("evaluations/*.json", "metamodels/*/card.json"):
        ours, theirs = (
            next(iter(folder.glob(kind))).read_text() for folder in (tmp_path, undisturbed)
        )
        assert ours == theirs, kind
