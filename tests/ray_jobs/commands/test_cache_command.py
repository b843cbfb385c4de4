"""`neoberta cache`: what it prints and how it ends."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cluster.storage import Storage, UserError
from probes.embeddings.cache import EmbeddingCache
from probes.encoders import View
from probes.encoders.base import EncoderInfo
from ray_jobs.cli import app
from ray_jobs.commands.cache import parse_age


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["cache", *arguments])
    if isinstance(result.exception, UserError):
        raise result.exception
    return result.exit_code, result.stdout


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    cache, view = EmbeddingCache(Storage(tmp_path), "0123456789abcdef"), View(1, "mean")
    cache.describe(EncoderInfo("hf:[some]-model", "0123456789abcdef", "hf", 1, 8, 10, 512, (view,)))
    (key,) = cache.publish(["a", "b", "c"], {view: np.ones((3, 8))})
    return tmp_path / cache.prefix / f"{key}.safetensors"


def test_ls(tmp_path: Path, segment: Path) -> None:
    code, shown = run("ls", "--out", str(tmp_path))
    line = next(line for line in shown.splitlines() if "0123456789abcdef" in line)
    assert code == 0 and "hf:[some]-model" in line and "this hour" in line
    assert [cell.strip() for cell in line.split("│")[3:6]] == ["3", "1", "0.0 MB"]


def test_verify(tmp_path: Path, segment: Path) -> None:
    assert run("verify", "--out", str(tmp_path)) == (0, "1 segments are whole (0.0 MB)\n")
    data = bytearray(segment.read_bytes())
    data[-1] ^= 1
    segment.write_bytes(data)
    code, shown = run("verify", "--out", str(tmp_path))
    assert (
        code == 1
        and f"damaged: {segment}: checksum does not match" in shown
        and "0 segments are whole" in shown
    )


def test_prune(tmp_path: Path, segment: Path) -> None:
    assert run("prune", "--out", str(tmp_path), "--older-than", "1d") == (
        0,
        "0 files removed (0.0 MB)\n",
    )
    code, shown = run("prune", "--out", str(tmp_path), "--older-than", "0h", "--dry-run")
    assert (
        code == 0
        and segment.name in shown
        and "1 files would be removed" in shown
        and segment.exists()
    )
    assert run("prune", "--out", str(tmp_path), "--older-than", "0h")[0] == 0
    assert not segment.exists()


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no embeddings there; `neoberta embed"):
        run("ls", "--out", str(tmp_path))
    for text in ("30", "d", "30 d", "-1d", "1y"):
        with pytest.raises(UserError, match="for example 12h, 30d or 8w"):
            parse_age(text)
    assert parse_age("2w").days == 14
