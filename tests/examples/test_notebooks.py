"""The code of every example notebook runs, on little data and with the cheapest encoder."""

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.ipynb"))
PARAMETERS = {"N_LABELLED": 60, "N_UNLABELLED": 80, "ENCODERS": ("lsa:32",)}
"""In place of the cell tagged `parameters`."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_code_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    names = dict(PARAMETERS)
    for cell in cells:
        if "parameters" not in cell["metadata"].get("tags", []):
            exec(compile("".join(cell["source"]), path.name, "exec"), names)
    assert "1. How much data do I need?" in capsys.readouterr().out
    assert (tmp_path / "characterize-answers" / "report.html").is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_there_and_small(path: Path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs and all(output["output_type"] != "error" for output in outputs)
    assert path.stat().st_size < 40_000
