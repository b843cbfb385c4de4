"""Samples that are drawn from one pool of rows and tested on the same rows. Inner products that
many samples need are computed once.

A sample of n <= d rows needs only its Gram matrix and its inner products with the test rows, and
these are parts of the pool's. Taking them from there replaces a product over all d columns in each
sample (Schölkopf and Smola 2002, section 2.2, with a linear kernel). The result is that of
`row_space`, to float64 rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from probes.solvers.rowspace import Basis, basis_of_gram, path_scores, row_space, weight_shares

MAX_PRODUCTS_BYTES = 256 * 2**20
"""Largest memory of the shared inner products. Where they need more, each sample computes its
own."""

GRAM_ROUND_OFF = 1e-15
"""Eigenvalues of a centred Gram matrix are round-off of the centring if they are below this share
of the trace from before it."""


@dataclass(frozen=True)
class Sample:
    """A sample in the basis of its row space, and the test rows."""

    basis: Basis
    _on_test: torch.Tensor
    """(m, q): the test rows, or their inner products with the sample. `_map` takes them to the
    basis."""
    _map: torch.Tensor
    """(q, r)"""
    _offset: torch.Tensor
    """(r,): `_map` applied to the centre of the sample."""

    def test_coordinates(self) -> torch.Tensor:
        """(m, r): the test rows, projected, in the basis, in its dtype."""
        return (self._on_test @ self._map - self._offset).to(self.basis.left.dtype)

    def test_scores(self, reduced: torch.Tensor) -> torch.Tensor:
        """(c, m, K): scores of the test rows with c weights `reduced` (c, r, K), in its dtype."""
        return path_scores(self._on_test, self._map, self._offset, reduced)


class Pool:
    """Rows X (N, d), from which samples are drawn, and test rows X_test (m, d); float32."""

    def __init__(self, X: torch.Tensor, X_test: torch.Tensor, draws: Sequence[np.ndarray]):
        """`draws` are the rows of each sample that will be asked for. They decide whether products
        are shared."""
        self._X, self._X_test = X, X_test
        wide = [rows for rows in draws if len(rows) <= X.shape[1]]
        self._used = np.unique(np.concatenate(wide)) if wide else np.empty(0, dtype=np.int64)
        shared = len(self._used) * (len(self._used) + len(X_test))
        apart = sum(len(rows) * (2 * len(rows) + len(X_test)) for rows in wide)
        self.shares_products = 0 < shared <= apart and shared * 8 <= MAX_PRODUCTS_BYTES

    @property
    def n_columns(self) -> int:
        return self._X.shape[1]

    def sample(
        self,
        rows: np.ndarray,
        dtype: torch.dtype = torch.float32,
        weight: torch.Tensor | None = None,
    ) -> Sample:
        """The sample of `rows` (n,) with weights (n,) above 0. Its basis has the type `dtype`."""
        if len(rows) <= self._X.shape[1] and self.shares_products:
            gram, on_test = self._products
            places = torch.from_numpy(np.searchsorted(self._used, rows))
            gram = gram[places][:, places]
            floor = float(gram.diagonal().sum()) * GRAM_ROUND_OFF
            if weight is None:
                mean = gram.mean(dim=0)
                centred = gram - mean - mean[:, None] + mean.mean()
            else:
                share, root = weight_shares(weight), weight.to(torch.float64).sqrt()
                mean = share @ gram
                centred = (gram - mean - mean[:, None] + share @ mean) * root * root[:, None]
                floor *= float(weight.max())
            left, singular = basis_of_gram(centred, floor=floor, n_rows=len(rows))
            # its columns are orthogonal to the constant, so what is constant over rows drops out
            to_rows = left / singular
            if weight is not None:
                to_rows = to_rows * root[:, None]
            basis = Basis(
                left.to(dtype), singular.to(dtype), None if weight is None else weight.to(dtype)
            )
            return Sample(basis, on_test[:, places], to_rows, mean @ to_rows)
        space = row_space(self._X[rows], dtype, weight)
        return Sample(
            space, self._X_test.to(dtype), space.directions, space.centre @ space.directions
        )

    @cached_property
    def _products(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Inner products of the rows that samples use with one another, and of the test rows with
        them. They are float64, about the mean of these rows: a centre near those of the samples
        keeps more digits."""
        used = self._X[self._used].to(torch.float64)
        centre = used.mean(dim=0)
        used = used - centre
        return used @ used.T, (self._X_test.to(torch.float64) - centre) @ used.T
