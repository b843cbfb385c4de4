"""The metamodel's inputs, computed from observations: the anchor forecast, the noise scale, the
inputs of the linear stage and those of the trees.

The metamodel predicts the error of the anchor, in units of the noise that a sample of n rows must
have. Anchor and noise are plain formulas. So a metamodel that has few tasks to learn from still
gives a reasonable forecast.
"""

import numpy as np
import pandas as pd

from meta.metamodel.observations import ID_COLUMNS
from meta.metamodel.power_laws import FORECASTS
from meta.metamodel.sample_features import FRACTIONS
from meta.metric import MIN_LOSS, Metric, stabilised

TRUTH_COLUMNS = ("truth", "truth_std", "n_truth", "horizon")
"""Columns of an observation that a sample does not have."""
ANCHOR_BLEND_OCTAVES = 2.0
"""At n the anchor is the mean of pow2 and pow3. From this many octaves ahead on it is pow2 alone.
Both laws smooth the noise of the sample over the whole curve. Far ahead the asymptote of pow3,
which is fitted to four points, promises too little."""
FEW_TASK_INPUTS = frozenset(
    (
        "skill",
        "log2_ratio",
        "log2_horizon",
        "log2_n_train",
        "anchor",
        *(f"{law}_gap" for law in FORECASTS),
        "logme",
        "h_score",
        "log_fisher_ratio",
        "log_nc1",
        "knn_loo_accuracy",
        "ridge_loo_accuracy",
        "effective_rank",
        "ridge_log10_penalty",
        "ridge_log2_temperature",
    )
)
"""Inputs of the trees that are used with fewer than `MIN_GROUPS_FOR_ALL` families."""
ACCURACY_ESTIMATES = (
    "eval_regressed_accuracy",
    "eval_doc_accuracy",
    "eval_atc_accuracy",
    "eval_gde_accuracy",
    "eval_gde_accuracy_4",
    "eval_gde_accuracy_8",
    "knn_loo_accuracy",
)
"""Features that estimate the present accuracy. The linear stage gets their distance from
leave-one-out."""
LINEAR_FEATURES = (
    "eval_churn_2",
    "eval_churn_4",
    "eval_churn_8",
    "eval_confidence",
    "eval_margin",
    "eval_entropy",
    "eval_nuclear_norm",
    "train_margin",
    "train_nuclear_norm",
    "mdl_bits_per_row",
    "log_fisher_ratio",
    "log_nc1",
    "h_score",
    "logme",
    "effective_rank",
    "log_twonn_dimension",
    "ridge_log10_penalty",
    "ridge_log2_temperature",
    "log2_n_classes",
    "shift_domain_auc",
    "shift_mmd2",
    "class_entropy",
    "share_classes_seen",
)
"""Features that the linear stage gets as they are."""
PRESENT_ACCURACIES = ("ridge_loo_accuracy", "eval_doc_accuracy", "eval_atc_accuracy")
"""Estimates of the present accuracy. The more they disagree, the larger is the noise."""
N_NOISE_TERMS = 6
MIN_GROUPS_FOR_ALL = 30
"""With fewer families the trees get only `FEW_TASK_INPUTS`. With 15 tasks all inputs together cost
0.4 points of held-out error."""
MIN_GROUPS_FOR_LINEAR_STAGE = 20
"""With fewer families the linear stage gets no inputs, and predicts 0."""


def anchor(frame: pd.DataFrame, known: pd.DataFrame, metric: Metric) -> np.ndarray:
    """(R,) the anchor's forecast of the metric at each row's horizon.

    `known` are the losses that power laws forecast (columns: `FORECASTS`). For log-loss the anchor
    is pow3 alone: where classes overlap, the loss falls towards a value far above 0.
    """
    share = (
        0.5 * (1 - np.clip(log2_ratio(frame) / ANCHOR_BLEND_OCTAVES, 0.0, 1.0))
        if metric.is_rate
        else 1.0
    )
    return metric.from_loss(
        (1 - share) * known["pow2"].to_numpy() + share * known["pow3"].to_numpy()
    )


def log2_ratio(frame: pd.DataFrame) -> np.ndarray:
    """(R,) octaves (doublings) from n to the horizon."""
    return np.log2(
        frame["horizon"].to_numpy(dtype=np.float64) / frame["n_train"].to_numpy(dtype=np.float64)
    )


def noise_terms(
    frame: pd.DataFrame, known: pd.DataFrame, anchored: np.ndarray, metric: Metric
) -> np.ndarray:
    """(R, N_NOISE_TERMS) variances that no forecast can avoid, up to factors that are fitted. They
    are in squared units of the scale that is learnt on (`meta.metric.Metric.to_scale`). `anchored`
    (R,) is the anchor in the unit of the metric.

    The terms, in order:

    1. the sampling noise of n rows
    2. the growth from n to the horizon, of which the sample shows nothing
    3. a constant
    4. few rows in each class
    5. for a rate, how far the power laws disagree. For log-loss, how few nats the n rows have lost
       together: a small loss is that of one or two rows. (On the logarithmic scale the disagreement
       would tell little, as a law that falls to 0 is far from any other.)
    6. how far leave-one-out and the estimates from confidences on the evaluation rows disagree,
       beyond the sampling noise of those rows
    """
    n_train, n_classes = (
        frame[name].to_numpy(dtype=np.float64) for name in ("n_train", "n_classes")
    )
    # NaN without an evaluation sample; the last term is 0 then
    n_eval = 2.0 ** frame["log2_n_eval"].to_numpy(dtype=np.float64)
    row_variance, growth = (
        (0.25, np.maximum(1 - anchored, 0.01)) if metric.is_rate else (1.0, np.ones(len(frame)))
    )
    disagreement = 0.1 / (n_train * np.maximum(anchored, MIN_LOSS))
    if metric.is_rate:
        disagreement = np.var(
            [
                stabilised(metric.from_loss(known[law].to_numpy()))
                for law in ("pow2", "pow3", "pow4")
            ],
            axis=0,
        )
    present = [stabilised(frame[name].to_numpy(dtype=np.float64)) for name in PRESENT_ACCURACIES]
    return np.stack(
        [
            row_variance / n_train,
            0.01 * log2_ratio(frame) ** 2 * growth,
            np.full(len(frame), 1e-4),
            0.1 * row_variance * n_classes / n_train,
            disagreement,
            np.nan_to_num(np.maximum(np.var(present, axis=0) - 0.25 / n_eval, 0.0)),
        ],
        axis=1,
    )


def tree_inputs(
    frame: pd.DataFrame, known: pd.DataFrame, anchored: np.ndarray, metric: Metric
) -> pd.DataFrame:
    """(R, features) float32 inputs of the trees: every feature of the sample, the horizon, and the
    distance of each forecast in `known` (losses; columns: `FORECASTS`) from the anchor. `anchored`
    (R,) is the anchor in the unit of the metric. NaN where a feature is missing."""
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
    majority = frame["majority_share"].to_numpy(dtype=np.float64)
    skill = (frame["ridge_loo_accuracy"].to_numpy(dtype=np.float64) - majority) / np.maximum(
        1 - majority, 0.02
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
    """(R, F) float64 inputs of the linear stage (`meta.metamodel.linear_stage`).

    They are the distances of every forecast in `known` (losses; columns: `FORECASTS`) and of every
    estimate from unlabelled rows from leave-one-out, the features `LINEAR_FEATURES`, and products
    that let growth depend on the level, the classes and the regularisation.
    """
    loo, now = known["loo"].to_numpy(), frame["ridge_loo_accuracy"].to_numpy(dtype=np.float64)
    log2_n, classes = frame["log2_n_train"].to_numpy(), frame["log2_n_classes"].to_numpy()
    per_class = log2_n - classes
    sign = metric.sign
    found = {
        f"{law}_gap": sign * (loo - known[law].to_numpy()) for law in FORECASTS if law != "loo"
    }
    found |= {f"{name}_gap": frame[name].to_numpy() - now for name in ACCURACY_ESTIMATES}
    found |= {name: frame[name].to_numpy() for name in LINEAR_FEATURES}
    majority = frame["majority_share"].to_numpy(dtype=np.float64)
    found |= {"error": 1 - now, "error_squared": (1 - now) ** 2, "above_chance": now - majority}
    found |= {"error_by_class_rows": (1 - now) * per_class, "error_by_classes": (1 - now) * classes}
    found |= {"error_by_penalty": (1 - now) * frame["ridge_log10_penalty"].to_numpy()}
    # leave-one-out never finds the only row of its class
    single = frame["share_single_rows"].to_numpy(dtype=np.float64)
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
    """Names of the inputs from which the trees learn: all of them from `MIN_GROUPS_FOR_ALL` groups
    on, else only `FEW_TASK_INPUTS`. With few tasks, trees would recognise a single task or encoder
    by the others, such as the number of classes."""
    if n_groups >= MIN_GROUPS_FOR_ALL:
        return list(inputs.columns)
    return [name for name in inputs.columns if name in FEW_TASK_INPUTS]
