"""Two processes that want the same vectors at the same time: every vector is written once, and is
right. The encoder is one of word vectors, which starts quickly."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from embed_runs import N_WORDS, write_inputs
from safetensors.numpy import load_file

from cluster.storage import Storage
from probes.embeddings.cache import EmbeddingCache
from probes.encoders import View, load_encoder

N_TEXTS = 400
TEXTS = [f"word{number % N_WORDS} word{7 * number % N_WORDS} {number}" for number in range(N_TEXTS)]
VIEWS = [View(0, "mean"), View(0, "max")]

JOB = """
import sys, time
from pathlib import Path
from cluster.storage import Storage
from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.encode import ShardEncoder, in_random_order, plan_shards
from probes.encoders import load_encoder

texts, ref, out, barrier, first, last = sys.argv[1:]
texts = Path(texts).read_text().splitlines()[int(first):int(last)]
info = load_encoder(ref).info
worker = ShardEncoder(ref, out)
(Path(barrier) / first).touch()
while len(list(Path(barrier).iterdir())) < 2:
    time.sleep(0.002)
items = plan_shards(EmbeddingCache(Storage(out), info.fingerprint), info, texts, info.views, 10)
print(sum(worker(item)["n_texts"] for item in in_random_order(items)))
"""


@pytest.mark.slow
def test_two_jobs_at_once(tmp_path: Path) -> None:
    """Their texts overlap: 0 to 300 and 100 to 400."""
    write_inputs(tmp_path)
    ref, texts = f"static:{tmp_path / 'vectors.txt'}", tmp_path / "own.txt"
    texts.write_text("\n".join(TEXTS))
    out, barrier = tmp_path / "out", tmp_path / "barrier"
    barrier.mkdir()
    commands = [
        [sys.executable, "-c", JOB, texts, ref, out, barrier, *span]
        for span in (("0", "300"), ("100", "400"))
    ]
    jobs = [
        subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    n_encoded = [int(job.communicate(timeout=300)[0]) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0]

    encoder = load_encoder(ref)
    cache = EmbeddingCache(Storage(out), encoder.info.fingerprint)
    expected = encoder.encode(TEXTS, VIEWS)
    for view in VIEWS:
        np.testing.assert_allclose(cache.vectors(TEXTS, view), expected[view], atol=2e-3)
        stored = [load_file(path) for path in out.rglob("*.safetensors")]
        keys = np.concatenate([tensors["texts"] for tensors in stored if str(view) in tensors])
        assert len(keys) == len(np.unique(keys, axis=0)) == N_TEXTS, "each vector lies there once"
    assert N_TEXTS <= sum(n_encoded) <= 1.5 * N_TEXTS, (
        "one wastes 200 texts' work if it never looks at what the other has done"
    )
    assert not [path for path in out.rglob("*") if path.is_file() and ".tmp-" in path.name]
