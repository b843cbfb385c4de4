"""Forecasts of published learning curves, LCDB 1.1, with datasets held out. There are features of
curves only, no embeddings.

A row is (dataset, learner, n, horizon). The mean test errors at every size up to n are seen, with n
in 64 .. 1024, and the error at 4n or 16n is forecast. Rows whose curve lacks a point are left out,
and so is the learner that always answers the commonest class. Everything that is fitted is fitted
on other datasets. Three sets of inputs are compared: the curve alone with its learner's name; also
the learner's training error, and the commonest class's share at n; also the other learners' curves
on the same dataset up to n.
"""

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from meta.dense_curves.features import ANCHOR, curve_features, fit_law, tree_columns
from meta.dense_curves.forecast import CurveForecaster, ForecastSettings
from meta.metamodel.conformal import interval
from meta.metamodel.power_laws import EXPONENTS, OFFSETS
from meta.metric import MEDIAN, QUANTILES

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "results" / "lcdb11_curves"
CONSTANT_LEARNER = "DummyClassifier"
SIZES = (64, 128, 256, 512, 1024)
RATIOS = (4, 16)
ROW = ["dataset", "learner", "n", "ratio"]
"""The columns that identify a row."""
BASELINES = ("last value", "pow2", "pow3", "pow4", "pow3, last two octaves", "averaged laws")
INPUTS = {
    "one curve": "one_curve",
    "+ training error, class balance": "with_training_error",
    "+ other learners' curves up to n": "with_peers",
}
"""A set of inputs, as it is printed -> its name in JSON keys."""
LEVELS = (0.5, 0.8, 0.9)


def read_curves(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean test and training errors. Rows are (dataset, learner), and there is a column for each
    training size."""
    curves = pd.read_parquet(folder / "curves.parquet").rename(columns={"openml_id": "dataset"})
    of = {
        name: curves.pivot(index=["dataset", "learner"], columns="anchor", values=name)
        for name in ("error_test", "error_train")
    }
    return of["error_test"], of["error_train"]


def protocol_rows(test: pd.DataFrame, train: pd.DataFrame) -> pd.DataFrame:
    """Every row with its `curve_features`, the baselines, and `truth`, `training_error`,
    `commonest_error`."""
    always = test.xs(CONSTANT_LEARNER, level="learner")
    learners = test.drop(index=CONSTANT_LEARNER, level="learner")
    parts = []
    for n in SIZES:
        sizes = np.array([size for size in learners.columns if size <= n], dtype=np.float64)
        seen = learners[[int(size) for size in sizes]].dropna()
        features = curve_features(sizes, seen.to_numpy(dtype=np.float64), RATIOS)
        rows = seen.index.repeat(len(RATIOS)).to_frame(index=False)
        rows["n"], rows["ratio"] = n, np.tile(RATIOS, len(seen))
        rows["truth"] = (
            learners.loc[seen.index, [n * ratio for ratio in RATIOS]]
            .to_numpy(dtype=np.float64)
            .ravel()
        )
        rows["training_error"] = (
            train.loc[seen.index, n].repeat(len(RATIOS)).to_numpy(dtype=np.float64)
        )
        rows["commonest_error"] = always[n].reindex(rows["dataset"]).to_numpy(dtype=np.float64)
        baselines = _baselines(sizes, seen.to_numpy(dtype=np.float64))
        baselines["averaged laws"] = features[ANCHOR].to_numpy()
        part = pd.concat([rows, pd.DataFrame(baselines), features], axis=1)
        parts.append(part[part["truth"].notna()])
    return pd.concat(parts, ignore_index=True)


def _baselines(sizes: np.ndarray, losses: np.ndarray) -> dict[str, np.ndarray]:
    """(R * H,) each: the laws of `meta.metamodel.power_laws.power_law`, with the same shapes,
    computed by the faster fit."""
    even, power = np.ones(len(sizes)), [("power", c, 0.0) for c in EXPONENTS]
    shifted = [("power", c, offset * sizes[0] / sizes[-1]) for offset in OFFSETS for c in EXPONENTS]
    fit = partial(fit_law, sizes, losses, ratios=np.array(RATIOS))
    fits = {
        "pow2": fit(even, power, asymptote=False),
        "pow3": fit(even, power),
        "pow4": fit(even, shifted),
        "pow3, last two octaves": fit((sizes >= sizes[-1] / 4).astype(np.float64), power),
    }
    return {
        "last value": losses[:, -1].repeat(len(RATIOS)),
        **{name: law.best().ravel() for name, law in fits.items()},
    }


def tree_inputs(rows: pd.DataFrame, inputs: str) -> pd.DataFrame:
    """(R, features) of one of `INPUTS`. Each set of inputs contains the one before."""
    known = rows.drop(columns=[*ROW, *BASELINES, "truth", "training_error", "commonest_error"])
    parts = [tree_columns(known), pd.get_dummies(rows["learner"], dtype=np.float32)]
    if inputs != "one curve":
        parts.append(rows[["training_error", "commonest_error"]])
        share = rows["now"] / np.maximum(rows["commonest_error"], 0.01)
        parts.append(
            pd.DataFrame(
                {
                    "generalisation_gap": rows["last"] - rows["training_error"],
                    "share_of_commonest": share,
                }
            )
        )
    if inputs == "+ other learners' curves up to n":
        parts.append(_other_learners(rows))
    return pd.concat(parts, axis=1)


def _other_learners(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns from all learners' curves on the dataset at the same n: the best, the middle, and the
    place of each learner."""
    same = rows.groupby(["dataset", "n", "ratio"])
    found = pd.DataFrame(
        {"rank": same["now"].rank(pct=True), "drop_middle": same["drop_4"].transform("median")}
    )
    for name in ("now", ANCHOR):
        for level in (0.0, 0.25, 0.5):
            found[f"{name}_{level}"] = same[name].transform("quantile", level)
            found[f"{name}_{level}_gap"] = found[f"{name}_{level}"] - rows[ANCHOR]
    wide = rows.pivot(index=["dataset", "n", "ratio"], columns="learner", values="now").add_prefix(
        "now of "
    )
    of_row = wide.reindex(pd.MultiIndex.from_frame(rows[["dataset", "n", "ratio"]])).set_index(
        rows.index
    )
    return pd.concat([found, of_row.sub(rows["now"], axis=0)], axis=1)


def held_out_quantiles(
    rows: pd.DataFrame,
    inputs: str,
    by: str,
    n_folds: int,
    settings: ForecastSettings,
    n_workers: int,
) -> np.ndarray:
    """(R, 5) quantiles of every row's error. A row's forecaster has seen no row with the same value
    in the column `by`."""
    columns = tree_inputs(rows, inputs).astype(np.float32)
    names = np.random.default_rng(settings.seed).permutation(rows[by].unique())
    folds = [rows[by].isin(names[fold::n_folds]).to_numpy() for fold in range(n_folds)]
    quantiles = np.empty((len(rows), len(QUANTILES)))
    with ProcessPoolExecutor(n_workers) as pool:
        known = rows[[ANCHOR, "truth", "dataset"]]
        for out, found in zip(
            folds, pool.map(partial(_fold, columns, known, settings), folds), strict=True
        ):
            quantiles[out] = found
    return quantiles


def _fold(
    columns: pd.DataFrame, known: pd.DataFrame, settings: ForecastSettings, out: np.ndarray
) -> np.ndarray:
    anchor, truth, dataset = (known[name].to_numpy() for name in known)
    model = CurveForecaster.fit(columns[~out], anchor[~out], truth[~out], dataset[~out], settings)
    return model.predict(columns[out], anchor[out])


def error_table(rows: pd.DataFrame, forecasts: dict[str, np.ndarray]) -> pd.DataFrame:
    """Mean absolute errors in points: over all rows, at 4x, at 16x, of logistic regression, and
    with datasets counting equally."""
    found = {}
    for name, forecast in forecasts.items():
        error = (100 * (forecast - rows["truth"])).abs()
        logistic = rows["learner"] == "LogisticRegression"
        found[name] = {
            "all": error.mean(),
            **{f"{ratio}x": error[rows["ratio"] == ratio].mean() for ratio in RATIOS},
            "logistic": error[logistic].mean(),
            "logistic 16x": error[logistic & (rows["ratio"] == 16)].mean(),
            "datasets equal": error.groupby(rows["dataset"]).mean().mean(),
        }
    return pd.DataFrame(found).T


def coverage_table(rows: pd.DataFrame, quantiles: np.ndarray) -> pd.DataFrame:
    """For each nominal level: the coverage with datasets counting equally and over rows, the share
    of datasets with at least 80 % coverage, the mean width."""
    found = {}
    for level in LEVELS:
        low, high = interval(quantiles, level)
        inside = pd.Series(
            (rows["truth"] >= low) & (rows["truth"] <= high), index=rows.index, dtype=np.float64
        )
        of_dataset = inside.groupby(rows["dataset"]).mean()
        found[f"{level:.0%}"] = {
            "datasets equal": of_dataset.mean(),
            "rows": inside.mean(),
            "datasets at 80 %": (of_dataset >= 0.8).mean(),
            "width, points": 100 * (high - low).mean(),
        }
    return pd.DataFrame(found).T


def show(console: Console, title: str, table: pd.DataFrame, shown: Callable[[float], str]) -> None:
    printed = Table(title=title)
    printed.add_column("")
    for name in table.columns:
        printed.add_column(str(name), justify="right")
    for name, values in table.iterrows():
        printed.add_row(str(name), *(shown(value) for value in values))
    console.print(printed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with curves.parquet")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument(
        "--workers", type=int, default=2, help="processes, each fits folds with one thread"
    )
    parser.add_argument("--inputs", nargs="*", choices=list(INPUTS), default=list(INPUTS))
    parser.add_argument(
        "--leave-learners-out",
        action="store_true",
        help="also hold learners out instead of datasets",
    )
    options = parser.parse_args()
    if not (options.data / "curves.parquet").is_file():
        sys.exit(
            f"{options.data}: no curves.parquet there; give the folder of the LCDB 1.1 curves with"
            " --data"
        )
    console = Console(width=140)
    rows = protocol_rows(*read_curves(options.data))
    console.print(
        f"{len(rows)} rows, {rows['dataset'].nunique()} datasets, {rows['learner'].nunique()}"
        " learners"
    )
    settings = ForecastSettings()
    forecasts = {name: rows[name].to_numpy() for name in BASELINES}
    result = {"rows": len(rows), "datasets": int(rows["dataset"].nunique())}
    for inputs in options.inputs:
        quantiles = held_out_quantiles(
            rows, inputs, "dataset", options.folds, settings, options.workers
        )
        forecasts[inputs] = quantiles[:, MEDIAN]
        coverage = coverage_table(rows, quantiles)
        show(
            console,
            f"Intervals, {inputs}",
            coverage,
            lambda value: f"{value:.3f}" if value <= 1 else f"{value:.1f}",
        )
        error = error_table(rows, {inputs: quantiles[:, MEDIAN]}).loc[inputs]
        suffix = "" if inputs == "one curve" else f"_{INPUTS[inputs]}"
        result |= {
            f"mae_points{suffix}": round(error["all"], 3),
            f"mae_points_16x{suffix}": round(error["16x"], 3),
        }
        result[f"coverage_90{suffix}"] = round(coverage.loc["90%", "datasets equal"], 4)
        result[f"width_points_90{suffix}"] = round(coverage.loc["90%", "width, points"], 2)
    if options.leave_learners_out:
        quantiles = held_out_quantiles(
            rows, "one curve", "learner", options.folds, settings, options.workers
        )
        forecasts["one curve, learners held out"] = quantiles[:, MEDIAN]
    errors = error_table(rows, forecasts)
    show(console, "Mean absolute error, points", errors, lambda value: f"{value:.2f}")
    for name in ("last value", "pow3", "pow3, last two octaves"):
        key = name.replace(", last two octaves", "_octaves").replace(" ", "_")
        result |= {
            f"mae_points_{key}": round(errors.loc[name, "all"], 3),
            f"mae_points_16x_{key}": round(errors.loc[name, "16x"], 3),
        }
    print(
        json.dumps(
            {
                name: float(value) if isinstance(value, float) else value
                for name, value in result.items()
            }
        )
    )


if __name__ == "__main__":
    main()
