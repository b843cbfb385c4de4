"""From observations to the metamodel's inputs: the anchor forecast, the noise scale, and the
features of the trees.

The metamodel predicts what the anchor gets wrong, in units of the noise that a sample of n rows
must have; both are plain formulas, so that with few tasks to learn from the forecast falls back on
something sound.
"""

import numpy as np
import pandas as pd

from meta.metamodel.observations import ID_COLUMNS
from meta.metamodel.power_laws import FORECASTS
from meta.metamodel.sample_features import FRACTIONS
from meta.metric import MIN_LOSS, Metric, stabilised

TRUTH_COLUMNS = ("truth", "truth_std", "n_truth", "horizon")
ANCHOR_BLEND_OCTAVES = 2.0
"""Octaves ahead after which the anchor is pow2 alone; at n it is the mean of pow2 and pow3. Both
smooth the sample's noise over the whole curve; far ahead the asymptote of pow3, fitted to four
points, promises too little."""
FEW_TASK_INPUTS = frozenset(
    [
        *(
            "skill",
            "log2_ratio",
            "log2_horizon",
            "log2_n_train",
            "anchor",
            *(f"{law}_gap" for law in FORECASTS),
        ),
        *(
            "logme",
            "h_score",
            "log_fisher_ratio",
            "log_nc1",
            "knn_loo_accuracy",
            "ridge_loo_accuracy",
            "effective_rank",
        ),
        *("ridge_log10_penalty", "ridge_log2_temperature"),
    ]
)
ACCURACY_ESTIMATES = (
    *(
        "eval_regressed_accuracy",
        "eval_doc_accuracy",
        "eval_atc_accuracy",
        "eval_gde_accuracy",
        "eval_gde_accuracy_4",
    ),
    *("eval_gde_accuracy_8", "knn_loo_accuracy"),
)
LINEAR_FEATURES = (
    *(
        "eval_churn_2",
        "eval_churn_4",
        "eval_churn_8",
        "eval_confidence",
        "eval_margin",
        "eval_entropy",
        "eval_nuclear_norm",
    ),
    *(
        "train_margin",
        "train_nuclear_norm",
        "mdl_bits_per_row",
        "log_fisher_ratio",
        "log_nc1",
        "h_score",
        "logme",
    ),
    *(
        "effective_rank",
        "log_twonn_dimension",
        "ridge_log10_penalty",
        "ridge_log2_temperature",
        "log2_n_classes",
    ),
    *("shift_domain_auc", "shift_mmd2", "class_entropy", "share_classes_seen"),
)
PRESENT_ACCURACIES = ("ridge_loo_accuracy", "eval_doc_accuracy", "eval_atc_accuracy")
N_NOISE_TERMS = 6
MIN_GROUPS_FOR_ALL = 30
"""With 15 tasks the wider set cost 0.4 points of held-out error."""
MIN_GROUPS_FOR_LINEAR_STAGE = 20
"""With fewer families the linear stage has no inputs, and says nothing."""


def anchor(frame: pd.DataFrame, known: pd.DataFrame, metric: Metric) -> np.ndarray:
    """(R,) metric values of the anchor at each row's horizon, from `known` losses (columns of
    `FORECASTS`). For log-loss pow3 alone: what it falls towards is far above 0 where classes
    overlap."""
    share = (
        0.5 * (1 - np.clip(log2_ratio(frame) / ANCHOR_BLEND_OCTAVES, 0.0, 1.0))
        if metric.is_rate
        else 1.0
    )
    return metric.from_loss(
        (1 - share) * known["pow2"].to_numpy() + share * known["pow3"].to_numpy()
    )


def log2_ratio(frame: pd.DataFrame) -> np.ndarray:
    """(R,) octaves from n to the horizon."""
    return np.log2(
        frame["horizon"].to_numpy(dtype=np.float64) / frame["n_train"].to_numpy(dtype=np.float64)
    )


def noise_terms(
    frame: pd.DataFrame, known: pd.DataFrame, anchored: np.ndarray, metric: Metric
) -> np.ndarray:
    """(R, N_NOISE_TERMS) variances that a forecast cannot avoid, up to factors that are fitted; in
    squared units of the scale that is learnt on (`meta.metric.Metric.to_scale`), `anchored` (R,) in
    the metric's own.

    In order: the noise of n rows; growth unseen; a floor; few rows of each class; how far apart the
    power laws are (of a rate: on the logarithmic scale a law that falls to nothing is far from any
    other, which says little), for log-loss instead how few nats the n rows have lost in all, as a
    small loss is that of one or two rows; how far leave-one-out is from what confidences on the
    evaluation rows say, beyond the noise of those rows themselves.
    """
    n_train, n_classes = (
        frame[name].to_numpy(dtype=np.float64) for name in ("n_train", "n_classes")
    )
    n_eval = 2.0 ** frame["log2_n_eval"].to_numpy(
        dtype=np.float64
    )  # NaN without an evaluation sample: no doubt is told
    of_a_row, size2 = (
        (0.25, np.maximum(1 - anchored, 0.01)) if metric.is_rate else (1.0, np.ones(len(frame)))
    )
    apart = 0.1 / (n_train * np.maximum(anchored, MIN_LOSS))
    if metric.is_rate:
        apart = np.var(
            [
                stabilised(metric.from_loss(known[law].to_numpy()))
                for law in ("pow2", "pow3", "pow4")
            ],
            axis=0,
        )
    told = [stabilised(frame[name].to_numpy(dtype=np.float64)) for name in PRESENT_ACCURACIES]
    return np.stack(
        [
            of_a_row / n_train,
            0.01 * log2_ratio(frame) ** 2 * size2,
            np.full(len(frame), 1e-4),
            0.1 * of_a_row * n_classes / n_train,
            apart,
            np.nan_to_num(np.maximum(np.var(told, axis=0) - 0.25 / n_eval, 0.0)),
        ],
        axis=1,
    )


def tree_inputs(
    frame: pd.DataFrame, known: pd.DataFrame, anchored: np.ndarray, metric: Metric
) -> pd.DataFrame:
    """(R, features) float32 that trees may use: every number known of the sample, the horizon, and
    each forecast's distance from the anchor, `anchored` (R,) in the metric's own units. NaN where a
    feature is missing."""
    others = {f"curve_{name}_{fraction}" for name in Metric for fraction in FRACTIONS}
    left_out = {
        *ID_COLUMNS,
        *TRUTH_COLUMNS,
        *others,
        *(f"curve_n_{fraction}" for fraction in FRACTIONS),
        "n_train",
        "n_classes",
    }
    inputs = frame[[name for name in frame.columns if name not in left_out]].astype(np.float32)
    chance = frame["majority_share"].to_numpy(dtype=np.float64)
    skill = (frame["ridge_loo_accuracy"].to_numpy(dtype=np.float64) - chance) / np.maximum(
        1 - chance, 0.02
    )
    extra = {
        "skill": skill,
        "log2_ratio": log2_ratio(frame),
        "log2_horizon": np.log2(frame["horizon"]),
        "anchor": anchored,
    }
    extra.update(
        {f"{law}_gap": metric.from_loss(known[law].to_numpy()) - anchored for law in FORECASTS}
    )
    return pd.concat([inputs, pd.DataFrame(extra, index=frame.index).astype(np.float32)], axis=1)


def linear_inputs(frame: pd.DataFrame, known: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """(R, F) float64 inputs of the linear stage (`meta.metamodel.linear_stage`): what each forecast
    and each estimate from unlabelled rows says beyond the present leave-one-out metric, and how
    growth goes with the level, the classes and the regularisation."""
    loo, now = known["loo"].to_numpy(), frame["ridge_loo_accuracy"].to_numpy(dtype=np.float64)
    log2_n, classes = frame["log2_n_train"].to_numpy(), frame["log2_n_classes"].to_numpy()
    per_class = log2_n - classes
    sign = metric.sign
    found = {
        f"{law}_gap": sign * (loo - known[law].to_numpy()) for law in FORECASTS if law != "loo"
    }
    found |= {f"{name}_gap": frame[name].to_numpy() - now for name in ACCURACY_ESTIMATES}
    found |= {name: frame[name].to_numpy() for name in LINEAR_FEATURES}
    chance = frame["majority_share"].to_numpy(dtype=np.float64)
    found |= {"error": 1 - now, "error_squared": (1 - now) ** 2, "above_chance": now - chance}
    found |= {"error_by_class_rows": (1 - now) * per_class, "error_by_classes": (1 - now) * classes}
    found |= {"error_by_penalty": (1 - now) * frame["ridge_log10_penalty"].to_numpy()}
    single = frame["share_single_rows"].to_numpy(
        dtype=np.float64
    )  # no leave-one-out finds the only row of its class
    found |= {
        "single_rows": single,
        "not_single_gap": now / np.maximum(1 - single, 0.1) - now,
        "error_by_single": (1 - now) * single,
    }
    found |= {
        "rows_per_class": per_class,
        "noise": (1 - now) * now / np.sqrt(frame["n_train"].to_numpy(dtype=np.float64)),
    }
    return pd.DataFrame(found, index=frame.index).astype(np.float64)


def chosen_inputs(inputs: pd.DataFrame, n_groups: int) -> list[str]:
    """Names of the inputs to learn from: all of them from `MIN_GROUPS_FOR_ALL` groups up, else the
    few that mean the same for every task. Class counts, encoder descriptors and the like name a
    task or an encoder as long as there are few of them."""
    if n_groups >= MIN_GROUPS_FOR_ALL:
        return list(inputs.columns)
    return [name for name in inputs.columns if name in FEW_TASK_INPUTS]
