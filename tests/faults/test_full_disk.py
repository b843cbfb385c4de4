"""A disk that is full: one line that says so, no file under a final name that is not whole, and the
job goes on when there is room."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cluster.storage import Storage
from probes.embeddings.upkeep import verify_caches

PUBLISH = """
import resource, sys
import numpy as np
from cluster.storage import Storage, UserError
from probes.embeddings.cache import EmbeddingCache
from probes.encoders import View

out, limit_bytes = sys.argv[1], int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
cache = EmbeddingCache(Storage(out), "f" * 16)
try:
    for n_texts in (50, 4000):
        texts = [f"{n_texts} {i}" for i in range(n_texts)]
        cache.publish(texts, {View(0, "mean"): np.ones((n_texts, 64))})
except UserError as error:
    sys.exit(str(error))
"""


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """The kernel's own limit on the size of files: writing stops in the middle."""
    command = [sys.executable, "-c", PUBLISH, str(tmp_path)]
    refused = subprocess.run(
        [*command, "100000"], capture_output=True, text=True, check=False, timeout=120
    )
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1
    assert (
        "no space left (File too large); free some and run the same command again" in refused.stderr
    )
    assert [damage for _, damage in verify_caches(Storage(tmp_path))] == [None], (
        "what came before is whole"
    )
    assert not [path for path in tmp_path.rglob("*") if ".tmp-" in path.name]
    assert subprocess.run([*command, "10000000"], check=False, timeout=120).returncode == 0
    assert [damage for _, damage in verify_caches(Storage(tmp_path))] == [None, None]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 KB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if (
        os.geteuid() != 0
        or subprocess.run(command, check=False, capture_output=True, timeout=10).returncode != 0
    ):
        pytest.skip("a small file system can only be mounted with the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=10)


@pytest.mark.slow
def test_a_full_disk_under_the_command_line(small_disk: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    # words without numbers: texts that differ in numbers alone are near-copies, and count once
    words = ["".join(map(chr, word)) for word in generator.integers(97, 123, (200, 7))]
    lines = [
        " ".join([word, *(f"{value:.3f}" for value in generator.standard_normal(80))])
        for word in words
    ]
    (tmp_path / "vectors.txt").write_text("\n".join(lines) + "\n")
    texts = (" ".join(words[j] for j in row) for row in generator.integers(0, 200, (3000, 4)))
    rows = [f"{text},class{i % 2}" for i, text in enumerate(texts)]
    (tmp_path / "train.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    command = [
        sys.executable,
        "-m",
        "ray_jobs.cli",
        "characterize",
        "--train",
        str(tmp_path / "train.csv"),
    ]
    command += ["--encoder", f"static:{tmp_path / 'vectors.txt'}", "--out", str(small_disk)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert refused.returncode == 2
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("neoberta:")]
    assert (
        "no space left (No space left on device); free some and run the same command again" in line
    )
    assert "Traceback" not in refused.stderr
    segments = list(verify_caches(Storage(small_disk)))
    assert segments and all(damage is None for _, damage in segments)
    assert not [path for path in small_disk.rglob("*") if ".tmp-" in path.name]

    subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True, timeout=10)
    assert subprocess.run(command, capture_output=True, check=False, timeout=600).returncode == 0
    assert (small_disk / "answers.json").is_file()
