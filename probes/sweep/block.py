"""The probes of one block: every size, seed and regularisation in one embedding space.

No test row takes part in a choice. The C of ridge is chosen by leave-one-out, that of logistic
regression by cross-validation inside the subset. One decomposition of a subset serves all its
probes. Subsets of one size go through the logistic solver together.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cluster.storage import digest
from probes.metrics import score_all
from probes.solvers.centroid import fit_centroids
from probes.solvers.lda import fit_discriminant
from probes.solvers.logistic import fit_logistic_path
from probes.solvers.neighbours import fit_neighbours
from probes.solvers.pool import Pool, Sample
from probes.solvers.ridge import fit_ridge_paths
from probes.solvers.rowspace import feature_scale
from probes.sweep.planned_block import BlockContent, ProbeGroup
from probes.sweep.subsets import subset_labels, subset_rows

if TYPE_CHECKING:
    from probes.sweep.spec import SweepSpec


@dataclass(frozen=True)
class _Subset:
    kind: str
    seed: int
    rows: np.ndarray
    labels: torch.Tensor
    """(n,) int64."""
    sample: Sample
    decompose_seconds: float


class BlockRunner:
    """The arrays of a block, scaled and on torch, and the columns that all its rows share."""

    def __init__(
        self,
        X_pool: np.ndarray,
        y_pool: np.ndarray,
        X_test: np.ndarray,
        y_test: np.ndarray,
        spec: "SweepSpec",
        block: BlockContent,
        clusters: np.ndarray | None = None,
    ):
        if not (y_pool >= 0).any() or not (y_test >= 0).any():
            raise ValueError(f"{block['task']}: no labelled row in its train or test split")
        self.spec, self.block, self.clusters = spec, block, clusters
        self.y_pool = np.asarray(y_pool, dtype=np.int64)
        scale = feature_scale(X_pool)
        tested = self._draw(
            y_test, "uniform", min(spec.max_test_rows, int((y_test >= 0).sum())), seed=0
        )
        self.sizes = [size for size in spec.sizes if size <= int((self.y_pool >= 0).sum())]
        self.draws = {
            (size, kind, seed): self._draw(self.y_pool, kind, size, seed)
            for size in self.sizes
            for kind in spec.subsets
            for seed in range(self._n_subsets(size))
        }
        self.pool = Pool(
            torch.from_numpy(np.asarray(X_pool, dtype=np.float32)) * scale,
            torch.from_numpy(np.asarray(X_test, dtype=np.float32)[tested]) * scale,
            list(self.draws.values()),
        )
        self.y_test = np.asarray(y_test, dtype=np.int64)[tested]
        self.n_classes = int(block["n_classes"])
        self.labels = np.arange(self.n_classes)
        self.common = {
            "task": block["task"],
            "task_fingerprint": block["task_fingerprint"],
            "encoder": block["encoder_name"],
            "encoder_fingerprint": block["encoder"]["fingerprint"],
            "layer": block["layer"],
            "pooling": block["pooling"],
            "n_classes": self.n_classes,
            "n_test": len(tested),
            "run_id": digest(spec),
            "created_at": datetime.now(UTC),
        }

    @property
    def groups(self) -> list[ProbeGroup]:
        """The block's groups of probes, in the order of its table."""
        return [ProbeGroup(size, kind) for size in self.sizes for kind in self.spec.subsets]

    def rows_of(self, size: int, kind: str) -> Iterator[dict[str, Any]]:
        """The rows of one group, a dict for each probe, by seed, probe and C."""
        subsets = [self._subset(size, kind, seed) for seed in range(self._n_subsets(size))]
        for probe in self.spec.ridge_kinds:
            yield from self._ridge_rows(subsets[: self.spec.n_seeds], probe)
        for probe in self.spec.cheap_kinds:
            for subset in subsets[: self.spec.n_seeds]:
                yield from self._cheap_row(subset, probe)
        n_logistic = self.spec.n_logistic_subsets(size)
        for probe in self.spec.logistic_kinds if n_logistic else ():
            yield from self._logistic_rows(subsets[:n_logistic], probe)

    def _n_subsets(self, size: int) -> int:
        return max(self.spec.n_base_subsets, self.spec.n_logistic_subsets(size))

    def _draw(self, labels: np.ndarray, kind: str, n: int, seed: int) -> np.ndarray:
        fingerprint = self.block["task_fingerprint"]
        return subset_rows(
            labels, task_fingerprint=fingerprint, kind=kind, n=n, seed=seed, clusters=self.clusters
        )

    def _subset(self, size: int, kind: str, seed: int) -> _Subset:
        rows = self.draws[size, kind, seed]
        started = time.perf_counter()
        sample = self.pool.sample(rows)
        seconds = time.perf_counter() - started
        fingerprint = self.block["task_fingerprint"]
        labels = subset_labels(
            self.y_pool,
            task_fingerprint=fingerprint,
            kind=kind,
            n_classes=self.n_classes,
            seed=seed,
        )
        return _Subset(kind, seed, rows, torch.from_numpy(labels[rows]), sample, seconds)

    def _ridge_rows(self, subsets: list[_Subset], probe: str) -> Iterator[dict[str, Any]]:
        started = time.perf_counter()
        samples = [subset.sample for subset in subsets]
        if probe == "ridge_balanced":
            samples = [
                self.pool.sample(subset.rows, weight=balanced_weights(subset.labels))
                for subset in subsets
            ]
        labels = torch.stack([subset.labels for subset in subsets])
        paths = fit_ridge_paths(
            [sample.basis for sample in samples], labels, self.n_classes, self.spec.ridge_Cs
        )
        seconds = (time.perf_counter() - started) / len(subsets)
        for subset, sample, path in zip(subsets, samples, paths, strict=True):
            started = time.perf_counter()
            probabilities = path.probabilities(
                sample.test_scores(path.reduced) + path.intercept
            ).numpy()
            fit_seconds = (
                time.perf_counter() - started + seconds + subset.decompose_seconds
            ) / len(path.Cs)
            loo_accuracy = (
                (path.held_out_scores.argmax(dim=-1) == subset.labels).float().mean(dim=-1).tolist()
            )
            fits = [
                {
                    "C": C,
                    "C_selected": i == path.best,
                    "loo_accuracy": loo_accuracy[i],
                    "converged": True,
                }
                for i, C in enumerate(path.Cs)
            ]
            yield from self._result_rows(subset, probe, probabilities, fit_seconds, fits)

    def _cheap_row(self, subset: _Subset, probe: str) -> Iterator[dict[str, Any]]:
        """The row of a probe that has no regularisation to choose."""
        started = time.perf_counter()
        basis, sample = subset.sample.basis, subset.sample
        loo_accuracy = None
        if probe == "knn":
            neighbours = fit_neighbours(basis, subset.labels, self.n_classes)
            probabilities, loo_accuracy = (
                neighbours.probabilities(sample.test_coordinates()),
                neighbours.loo_accuracy,
            )
        elif probe == "centroid":
            centroids = fit_centroids(basis, subset.labels, self.n_classes)
            probabilities = centroids.probabilities(sample.test_scores(centroids.reduced[None])[0])
            loo_accuracy = centroids.loo_accuracy
        else:
            discriminant = fit_discriminant(
                basis, subset.labels, self.n_classes, self.pool.n_columns
            )
            probabilities = discriminant.probabilities(
                sample.test_scores(discriminant.reduced[None])[0]
            )
        seconds = time.perf_counter() - started + subset.decompose_seconds
        fit = {"C": None, "C_selected": True, "loo_accuracy": loo_accuracy, "converged": True}
        return self._result_rows(subset, probe, probabilities.numpy()[None], seconds, [fit])

    def _logistic_rows(self, subsets: list[_Subset], probe: str) -> Iterator[dict[str, Any]]:
        started = time.perf_counter()
        bases = [subset.sample.basis for subset in subsets]
        rank = max(len(basis.singular) for basis in bases)
        padded = [
            torch.nn.functional.pad(basis.coordinates, (0, rank - len(basis.singular)))
            for basis in bases
        ]
        X, labels = torch.stack(padded), torch.stack([subset.labels for subset in subsets])
        weight = torch.stack(
            [fold_weights(s.labels.numpy(), self.spec.logistic_folds, s.seed) for s in subsets]
        )
        held_out = (weight == 0).to(X.dtype)
        if probe == "logistic_balanced":
            weight = (
                weight
                * torch.stack([balanced_weights(subset.labels) for subset in subsets])[:, :, None]
            )
            held_out = held_out * weight[:, :, :1]
        path = fit_logistic_path(
            X, labels, self.n_classes, self.spec.logistic_Cs, sample_weight=weight
        )
        seconds = (time.perf_counter() - started) / (len(path.Cs) * len(subsets))
        for place, subset in enumerate(subsets):
            started = time.perf_counter()
            W, b = path.weights[:, place], path.intercepts[:, place]
            own = W[:, 0, : len(bases[place].singular)]
            logits = subset.sample.test_scores(own) + b[:, 0][:, None]
            probabilities = torch.softmax(logits, dim=-1).numpy()
            fit_seconds = seconds + (
                time.perf_counter() - started + subset.decompose_seconds
            ) / len(path.Cs)
            best = self._best_by_folds(
                X[place],
                labels[place],
                held_out[place],
                path.weights[:, place],
                path.intercepts[:, place],
            )
            fits = [
                {"C": C, "C_selected": i == best, "converged": bool(path.converged[i, place, 0])}
                for i, C in enumerate(path.Cs)
            ]
            yield from self._result_rows(subset, probe, probabilities, fit_seconds, fits)

    @staticmethod
    def _best_by_folds(
        X: torch.Tensor,
        labels: torch.Tensor,
        held_out: torch.Tensor,
        W: torch.Tensor,
        b: torch.Tensor,
    ) -> int:
        """Index of the C with the least held-out log-loss over the folds (replicas 1, 2, ...). Ties
        go to the stronger penalty. X is (n, r), W (c, R, r, K), b (c, R, K). held_out (n, R) is the
        weight of a row in the loss of the fold that holds it out."""
        probabilities = torch.softmax(X @ W[:, 1:] + b[:, 1:, None], dim=-1)  # (c, folds, n, K)
        own = probabilities.gather(-1, labels.expand(*probabilities.shape[:3])[..., None])[..., 0]
        losses = -own.clamp_min(torch.finfo(own.dtype).eps).log()
        return int((losses * held_out[:, 1:].T).sum(dim=(1, 2)).argmin())

    def _result_rows(
        self,
        subset: _Subset,
        probe: str,
        probabilities: np.ndarray,
        fit_seconds: float,
        fits: list[dict[str, Any]],
    ) -> Iterator[dict[str, Any]]:
        """One row of the table for each of `probabilities` (B, m, K). `fits[i]` holds the columns
        that describe the fit of row i."""
        metrics = score_all(self.y_test, probabilities, self.labels)
        n_classes_seen = len(subset.labels.unique())
        for i, own in enumerate(fits):
            values = {name: float(column[i]) for name, column in metrics.items()}
            yield {
                **self.common,
                **own,
                **values,
                "auroc": None if np.isnan(values["auroc"]) else values["auroc"],
                "n_train": len(subset.labels),
                "subset": subset.kind,
                "seed": subset.seed,
                "probe": probe,
                "n_classes_seen": n_classes_seen,
                "rank": len(subset.sample.basis.singular),
                "fit_seconds": fit_seconds,
            }


def balanced_weights(labels: torch.Tensor) -> torch.Tensor:
    """(n,) float32 weights with which every class of `labels` (n,) int64 counts the same. They sum
    to n (scikit-learn's class_weight="balanced")."""
    counts = torch.bincount(labels).to(torch.float32)
    return (len(labels) / (counts > 0).sum() / counts)[labels]


def fold_weights(labels: np.ndarray, n_folds: int, seed: int) -> torch.Tensor:
    """(n, 1 + n_folds) float32. The first column is ones. Each further one belongs to a fold: 0 for
    the rows that it holds out, 1 for the others. Folds are stratified: the rows of each class are
    dealt out in turn, in a random order."""
    generator = np.random.default_rng([seed, len(labels), n_folds])
    shuffled = generator.permutation(len(labels))
    fold = np.empty(len(labels), dtype=np.int64)
    fold[shuffled[np.argsort(labels[shuffled], kind="stable")]] = np.arange(len(labels)) % n_folds
    held_out = fold[:, None] == np.arange(n_folds)
    return torch.from_numpy(
        np.concatenate([np.ones((len(labels), 1)), ~held_out], axis=1).astype(np.float32)
    )
