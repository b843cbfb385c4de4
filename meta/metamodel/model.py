"""The metamodel: it forecasts calibrated quantiles of the metric at any horizon from the features
of a sample.

A linear stage (`meta.metamodel.linear_stage`) predicts the error of the anchor forecast. Quantile
trees (XGBoost) predict the error that remains, in units of the noise that the sample must have. Two
things are learnt on tasks that these stages have not seen: how far the stages are believed
(`trust`, for each octave ahead), and how far the intervals must be stretched. With too few tasks
the trust is 0, and the forecast is the anchor with the distribution of its errors. A metamodel is
stored as UBJSON of XGBoost and as JSON; nothing is pickled.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost

from cluster.storage import CorruptArtefactError, Storage, UserError
from meta.metamodel.card import RANGE_FEATURES, check_stored, make_card
from meta.metamodel.conformal import stretch
from meta.metamodel.fitting import (
    FitInputs,
    FitSettings,
    blend_by_trust,
    cross_fitted_quantiles,
    learn,
    standardised_quantiles,
    training_arrays,
)
from meta.metamodel.inputs import log2_ratio
from meta.metamodel.linear_stage import LinearStage
from meta.metamodel.quantile_curves import bounded, monotone
from meta.metamodel.sample_features import FEATURES_VERSION
from meta.metamodel.trust import (
    interpolate_factors,
    interpolate_octaves,
    local_factors,
)
from meta.metric import Metric
from meta.priors.spaces import ViewPrior

SCHEMA = 4
"""Version of the stored form. It is raised when this program cannot read older cards."""
TREES_FILE, CARD_FILE, VIEW_PRIOR_FILE = "trees.ubj", "card.json", "view_prior.json"
WIDER_PER_OCTAVE_OUTSIDE = 0.25
"""Outside the range of the training samples, each octave makes the intervals wider by this share.
The octaves are of n, classes, dimensions of the space, and horizon."""


@dataclass(frozen=True)
class Metamodel:
    """A fitted metamodel of one metric. `Metamodel.fit` or `Metamodel.load` makes it."""

    metric: Metric
    feature_names: tuple[str, ...]
    """Names of the inputs of the trees."""
    linear_stage: LinearStage
    booster: xgboost.Booster
    """The quantile trees."""
    noise: tuple[float, ...]
    """(N_NOISE_TERMS,) factors of the terms of `meta.metamodel.inputs.noise_terms`."""
    spread: tuple[tuple[float, ...], ...]
    """(len(OCTAVE_KNOTS), 5) quantiles (QUANTILES) of the standardised error of the anchor over all
    tasks, near each of OCTAVE_KNOTS."""
    trust: tuple[float, ...]
    """(len(OCTAVE_KNOTS),) in the blend of quantiles, the share of the learnt stages; `spread` has
    the remaining share."""
    factors: np.ndarray
    """(*KNOTS_SHAPE, 5) the factors by which conformal calibration stretches the quantiles, near
    each knot of `meta.metamodel.trust`."""
    card: dict[str, Any] = field(default_factory=dict)
    """Where the metamodel comes from: tasks, encoders, ranges, guaranteed levels, and the tables of
    its evaluation."""
    view_prior: ViewPrior | None = None
    """How spaces compare on the same tasks. None where too few tasks have the same spaces."""

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        *,
        metric: Metric = Metric.ACCURACY,
        groups: str = "task_family",
        settings: FitSettings | None = None,
    ) -> "Metamodel":
        """Learn from `frame`, observations with their truth
        (`meta.metamodel.observations.observation_table`).

        `groups` is the name of a column. Rows with the same value in it are never split between
        learning and calibration. Raises UserError for fewer than 3 groups, ValueError for an
        unknown metric.
        """
        metric = Metric(metric)
        data, truth, names = training_arrays(frame, metric, groups)
        settings = settings or FitSettings()
        raw, trust = cross_fitted_quantiles(data, truth, names, metric, settings)
        factors, guaranteed = local_factors(
            raw, truth, names, data.octaves, data.log2_n, data.shift
        )
        noise, spread, linear_stage, booster = learn(data, truth, names, settings)
        return cls(
            metric,
            tuple(data.inputs.columns),
            linear_stage,
            booster,
            tuple(noise.tolist()),
            tuple(map(tuple, spread.tolist())),
            tuple(trust.tolist()),
            factors,
            make_card(frame, names, metric, guaranteed)
            | {"settings": dataclasses.asdict(settings)},
        )

    def predict(self, features: pd.DataFrame) -> np.ndarray:
        """(R, 5) float64 quantiles (QUANTILES) of the metric, for rows of features of samples with
        the column `horizon` (rows).

        Quantiles are sorted in each row. Among rows that differ only in `horizon`, no quantile gets
        worse with it. A row outside the range of the training samples gets wider intervals
        (`outside` says in what). Raises ValueError where a feature is missing.
        """
        data = FitInputs.of(features, self.metric)
        missing = [name for name in self.feature_names if name not in data.inputs.columns]
        if missing:
            raise ValueError(f"features lack {', '.join(missing[:5])}")
        data = replace(data, inputs=data.inputs[list(self.feature_names)])
        scale = np.sqrt(data.noise @ np.asarray(self.noise))
        learnt = standardised_quantiles(self.linear_stage, self.booster, data, scale)
        spread = interpolate_octaves(np.asarray(self.spread), data.octaves)
        quantiles = blend_by_trust(data, scale, learnt, spread, np.asarray(self.trust), self.metric)
        wider = 1 + WIDER_PER_OCTAVE_OUTSIDE * self._octaves_outside(features)
        quantiles = stretch(
            quantiles,
            interpolate_factors(self.factors, data.octaves, data.log2_n, data.shift)
            * wider[:, None],
        )
        quantiles = monotone(
            bounded(quantiles, self.metric), data.sample, data.octaves, self.metric
        )
        return self.metric.from_scale(quantiles)

    def curve(
        self, features: Mapping[str, float], horizons: Sequence[int] | np.ndarray
    ) -> np.ndarray:
        """(len(horizons), 5) quantiles of the curve of one sample, whose features are the result of
        `meta.metamodel.sample_features.sample_features`. `horizons` are numbers of rows, in any
        order."""
        frame = pd.DataFrame([dict(features)] * len(horizons))
        return self.predict(frame.assign(horizon=np.asarray(horizons, dtype=np.float64)))

    def outside(self, features: Mapping[str, float]) -> list[str]:
        """One phrase for each feature of RANGE_FEATURES that lies outside the range of the training
        samples."""
        phrases = []
        for name, (low, high) in self.card["ranges"].items():
            value = features.get(name)
            if value is not None and not low <= value <= high:
                low_shown, high_shown, shown = (
                    2**v if name.startswith("log2_") else v for v in (low, high, value)
                )
                phrases.append(
                    f"{shown:.0f} {RANGE_FEATURES[name]}, learnt from {low_shown:.0f} to"
                    f" {high_shown:.0f}"
                )
        return phrases

    def outside_factor(self, features: Mapping[str, float]) -> float:
        """The factor, 1 or more, by which `curve` makes the intervals of a sample wider because it
        lies outside the range of the training samples. Horizons count for themselves."""
        frame = pd.DataFrame([dict(features)]).assign(horizon=features["n_train"])
        return float(1 + WIDER_PER_OCTAVE_OUTSIDE * self._octaves_outside(frame)[0])

    def with_evaluation(self, tables: Mapping[str, Any]) -> "Metamodel":
        """The same metamodel, with the `tables` of `meta.metamodel.evaluation` in the entry
        `evaluation` of its card."""
        return replace(self, card={**self.card, "evaluation": dict(tables)})

    def with_view_prior(self, view_prior: ViewPrior | None) -> "Metamodel":
        """The same metamodel with `view_prior` as its prior of spaces."""
        return replace(self, view_prior=view_prior)

    def save(self, storage: Storage, key: str) -> str:
        """Publish the metamodel as the folder `metamodels/<key>`. Returns the key of this
        artefact."""
        artefact = f"metamodels/{key}"
        with storage.writing_folder(artefact) as folder:
            self.booster.save_model(folder / TREES_FILE)
            (folder / CARD_FILE).write_text(json.dumps(self._to_json(), indent=1, allow_nan=False))
            if self.view_prior is not None:
                self.view_prior.save(folder / VIEW_PRIOR_FILE)
        return artefact

    @classmethod
    def load(cls, folder: str | Path) -> "Metamodel":
        """The metamodel in a folder. Raises UserError where there is none, or one of another
        version, and CorruptArtefactError where it cannot be read."""
        folder = Path(folder)
        if not (folder / CARD_FILE).is_file():
            raise UserError(
                f"{folder}: no metamodel there ({CARD_FILE} is missing); give the folder that"
                " `neoberta fit` wrote"
            )
        try:
            stored = json.loads((folder / CARD_FILE).read_text())
            version = (stored["schema"], stored["features_version"])
            if version == (SCHEMA, FEATURES_VERSION):
                booster = xgboost.Booster()
                booster.load_model(folder / TREES_FILE)
                check_stored(stored, booster.num_features())
                prior = folder / VIEW_PRIOR_FILE
                return cls(
                    metric=Metric(stored["metric"]),
                    feature_names=tuple(stored["feature_names"]),
                    linear_stage=LinearStage.from_json(stored["stack"]),
                    booster=booster,
                    noise=tuple(stored["noise"]),
                    spread=tuple(tuple(row) for row in stored["spread"]),
                    trust=tuple(stored["trust"]),
                    factors=np.array(stored["factors"], dtype=np.float64),
                    card=stored["card"],
                    view_prior=ViewPrior.load(prior) if prior.is_file() else None,
                )
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            xgboost.core.XGBoostError,
        ) as error:
            raise CorruptArtefactError(
                f"{folder}: cannot be read ({str(error).splitlines()[0]})"
            ) from error
        wanted = (SCHEMA, FEATURES_VERSION)
        raise UserError(
            f"{folder}: metamodel of version {version}, this program reads {wanted}; run `neoberta"
            " fit` again"
        )

    def _to_json(self) -> dict[str, Any]:
        """The content of card.json."""
        names = ("metric", "feature_names", "noise", "spread", "trust", "card")
        fitted = {name: getattr(self, name) for name in names}
        fitted |= {"stack": self.linear_stage.to_json(), "factors": self.factors.tolist()}
        return {"schema": SCHEMA, "features_version": FEATURES_VERSION, **fitted}

    def _octaves_outside(self, features: pd.DataFrame) -> np.ndarray:
        """(R,) octaves outside the range of the training samples, summed over RANGE_FEATURES and
        the horizon."""
        total = np.maximum(log2_ratio(features) - self.card["max_octaves"], 0.0)
        for name, bounds in self.card["ranges"].items():
            values = features[name].to_numpy(dtype=np.float64)
            is_log = name.startswith("log2_")
            at, low, high = (
                each if is_log else np.log2(np.maximum(each, 1.0)) for each in (values, *bounds)
            )
            total += np.maximum(low - at, 0.0) + np.maximum(at - high, 0.0)
        return total
