"""How the prior of embedding spaces (`meta.priors.spaces`) is fitted to the results of probes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from meta.groups import group_weights
from meta.metric import stabilised
from meta.priors.spaces import (
    COMPONENTS,
    SpaceKey,
    ViewPrior,
    component_correlations,
    short_reference,
)

COMMON_SHARE = 0.7
"""A space is in the prior if at least this share of the pairs (task, size) has it."""


def space_truths(probes: pd.DataFrame, tasks: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """The truths for `fit_view_prior`: for every (task, space, n), the accuracy of the chosen ridge
    probe, averaged over seeds.

    `probes` are probe results (`probes.sweep.results`); only stratified subsets are used. `tasks`
    maps fingerprints to (name, family); other tasks are left out.
    """
    chosen = (
        (probes["probe"] == "ridge") & probes["C_selected"] & (probes["subset"] == "stratified")
    )
    known = probes[chosen & probes["task_fingerprint"].isin(list(tasks))]
    place = ["task_fingerprint", "encoder", "encoder_fingerprint", "layer", "pooling", "n_train"]
    found = known.groupby(place, observed=True)["accuracy"].mean().rename("truth").reset_index()
    found["task"] = found["task_fingerprint"].map(lambda key: tasks[key][0])
    found["task_family"] = found["task_fingerprint"].map(lambda key: tasks[key][1])
    found["n_layers"] = found.groupby("encoder_fingerprint")["layer"].transform("max")
    return found


def fit_view_prior(truths: pd.DataFrame) -> ViewPrior:
    """Fit the prior to `truths`, a table with the columns task, task_family, encoder, layer,
    n_layers, pooling, n_train and truth (accuracy).

    A space that many tasks lack is left out. A task that lacks one of the other spaces is left out.
    Raises ValueError for fewer than 3 families or 2 spaces.
    """
    spaces_of = {
        key.name: key
        for key in (
            SpaceKey(row["encoder"], int(row["layer"]), int(row["n_layers"]), row["pooling"])
            for row in (
                truths[["encoder", "layer", "n_layers", "pooling"]]
                .drop_duplicates()
                .to_dict("records")
            )
        )
    }
    names = (
        truths["encoder"].map(short_reference)
        + "#"
        + truths["layer"].astype(int).astype(str)
        + "/"
        + truths["pooling"]
    )
    place = ["task_family", "task", "n_train"]
    wide = truths.assign(space=names).pivot_table(
        index=place, columns="space", values="truth", aggfunc="mean"
    )
    share = wide.notna().mean()
    # only the few tasks on pairs of texts have spaces of pairs
    wide = wide[share.index[share >= COMMON_SHARE]].dropna()
    spaces = [spaces_of[name] for name in wide.columns]
    families = wide.index.get_level_values("task_family").to_numpy(dtype=str)
    if len(np.unique(families)) < 3 or len(spaces) < 2:
        raise ValueError(
            f"{len(np.unique(families))} task families and {len(spaces)} spaces: at least 3 and"
            " 2 are needed"
        )
    of_size = wide.index.get_level_values("n_train").to_numpy()
    n_families = {size: len(np.unique(families[of_size == size])) for size in np.unique(of_size)}
    common = np.isin(
        of_size,
        [size for size, count in n_families.items() if count >= max(n_families.values()) / 2],
    )
    # few tasks have the largest sizes
    wide, families, of_size = wide[common], families[common], of_size[common]
    values = stabilised(wide.to_numpy())
    contrasts = values - values.mean(axis=1, keepdims=True)
    sizes = tuple(sorted(set(of_size.tolist())))
    means, centred = np.empty((len(sizes), len(spaces))), np.empty_like(contrasts)
    for row, size in enumerate(sizes):
        here = of_size == size
        means[row] = group_weights(families[here]) @ contrasts[here]
        centred[here] = contrasts[here] - means[row]
    covariance = (centred * group_weights(families)[:, None]).T @ centred
    return ViewPrior(
        tuple(key.name for key in spaces),
        sizes,
        means,
        covariance,
        _components(spaces, covariance),
    )


def _components(spaces: Sequence[SpaceKey], covariance: np.ndarray) -> tuple[float, ...]:
    """The variances of COMPONENTS that fit `covariance` (V, V) of contrasts best: by least squares,
    without negative ones, after the correlations of each component are centred."""
    centring = np.eye(len(spaces)) - 1 / len(spaces)
    columns = np.stack(
        [(centring @ each @ centring).ravel() for each in component_correlations(spaces)],
        axis=1,
    )
    # with a single encoder, for example, the component "encoder" cannot be estimated
    can_be_estimated = np.linalg.norm(columns, axis=0) > 1e-9
    variances = np.zeros(len(COMPONENTS))
    variances[can_be_estimated] = nnls(columns[:, can_be_estimated], covariance.ravel())[0]
    return tuple(np.maximum(variances, 1e-7).tolist())
