"""An embedding job as a process of its own, to be killed: `python embed_runs.py INPUTS OUT`, with
the vectors and texts that `write_inputs` made. Prints `encoding` when the first text is about to be
encoded. Word vectors, so that it starts quickly."""

import sys
from pathlib import Path

import numpy as np

N_TEXTS, TEXTS_PER_SHARD, N_WORDS, DIM = 4000, 20, 400, 64


def write_inputs(folder: Path) -> None:
    """Word vectors, and texts of many lengths."""
    words, vectors = (
        [f"word{i}" for i in range(N_WORDS)],
        np.random.default_rng(0).standard_normal((N_WORDS, DIM)),
    )
    lines = [
        " ".join([word, *(f"{value:.4f}" for value in vector)])
        for word, vector in zip(words, vectors, strict=True)
    ]
    (folder / "vectors.txt").write_text("\n".join(lines) + "\n")
    texts = [
        " ".join(
            [*(words[(7 * i + 13 * j) % N_WORDS] for j in range(5 + i * i % 400)), f"number{i}"]
        )
        for i in range(N_TEXTS)
    ]
    (folder / "texts.txt").write_text("\n".join(texts) + "\n")


def run(inputs: Path, out: Path) -> None:
    """Embed the texts."""
    from cluster.storage import Storage
    from probes.embeddings.cache import EmbeddingCache
    from probes.embeddings.encode import embed_texts
    from probes.encoders.load import load_encoder

    encoder = load_encoder(f"static:{inputs / 'vectors.txt'}")
    texts = (inputs / "texts.txt").read_text().splitlines()
    cache = EmbeddingCache(Storage(out), encoder.info.fingerprint)
    print("encoding", flush=True)
    embed_texts(encoder, cache, texts, encoder.info.views, texts_per_shard=TEXTS_PER_SHARD)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
