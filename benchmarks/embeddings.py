"""Real sentence embeddings for the benchmarks: short texts of public tasks, encoded by
all-MiniLM-L6-v2. They are kept between runs."""

import tempfile
from pathlib import Path

import numpy as np

from cluster.storage import Storage
from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.encode import embed_texts
from probes.encoders.base import View
from probes.encoders.load import load_encoder
from probes.tasks.load import load_task

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "classification"
TASK_OF_CLASSES = {2: "sst2", 6: "trec_coarse", 20: "stackoverflow_titles", 77: "banking77"}
"""Number of classes -> a public task with that number."""
CACHE = Path(tempfile.gettempdir()) / "neoberta-benchmarks"
N_COLUMNS = 384
VIEW = View(6, "mean")


def labelled_embeddings(n_classes: int, n_rows: int) -> tuple[np.ndarray, np.ndarray, str]:
    """(X (n_rows, 384) float32, y (n_rows,) int64, where they are from) for a task of `n_classes`
    in TASK_OF_CLASSES. Where the data or the encoder is missing they are synthetic classes with the
    same spectrum."""
    name = TASK_OF_CLASSES[n_classes]
    try:
        return *task_embeddings(name, n_rows), name
    except (FileNotFoundError, ImportError) as error:
        return *_synthetic(n_classes, n_rows), f"synthetic ({type(error).__name__})"


def task_embeddings(name: str, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """(X (n, 384) float32, y (n,) int64) of at most `n_rows` random training rows of the public
    task `name`. Raises FileNotFoundError where the data is missing, ImportError where the encoder
    is."""
    folder = DATA / name
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    encoder = load_encoder("hf:all-MiniLM-L6-v2")
    train = load_task(str(folder)).splits["train"]
    rows = np.random.default_rng(0).permutation(len(train))[:n_rows]
    texts = [train.text[row] for row in rows]
    cache = EmbeddingCache(Storage(CACHE), encoder.info.fingerprint)
    embed_texts(encoder, cache, texts, [VIEW])
    return cache.vectors(texts, VIEW), train.labels[rows]


def split_embeddings(
    name: str,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """((X, y), (X_test, y_test)): all rows of both official splits of the public task `name`.
    Otherwise as `task_embeddings`."""
    folder = DATA / name
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    encoder = load_encoder("hf:all-MiniLM-L6-v2")
    splits = load_task(str(folder)).splits
    cache = EmbeddingCache(Storage(CACHE), encoder.info.fingerprint)
    embed_texts(encoder, cache, [*splits["train"].text, *splits["test"].text], [VIEW])
    train, test = (
        (cache.vectors(split.text, VIEW), split.labels)
        for split in (splits["train"], splits["test"])
    )
    return train, test


def _synthetic(n_classes: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(n_classes)
    spectrum = np.arange(1, N_COLUMNS + 1) ** -0.5
    y = generator.permutation(np.arange(n_rows) % n_classes)
    centres = generator.standard_normal((n_classes, N_COLUMNS)) * spectrum
    X = centres[y] + generator.standard_normal((n_rows, N_COLUMNS)) * spectrum
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y.astype(np.int64)
