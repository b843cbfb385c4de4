"""The six answers for one labelled sample, one evaluation sample and some embedding spaces.

Pure: arrays and a fitted metamodel in, `Answers` out; reading files and encoding texts happen
elsewhere (`meta.api`). No label of the evaluation sample is used but those that the user gives for
it. Every space is fitted by leave-one-out; the most promising get a forecast by the metamodel.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cluster.storage import UserError
from meta.answering.constant_answer import constant_score, constant_words
from meta.answering.on_cores import one_blas_thread
from meta.answering.q1_data_needed import (
    default_target,
    encoder_need,
    fewest_labels,
    horizons,
    labelling_plan,
)
from meta.answering.q2_eval_labels import Correction, correct_forecast, eval_labels_answer
from meta.answering.q3_label_errors import suspect_labels, unlearnt_classes
from meta.answering.q3_label_next import label_next, strategy
from meta.answering.q4_encoders_not_tried import untried_encoders
from meta.answering.q4_posterior import aligned, compare_spaces
from meta.answering.q4_probabilities import Chances, chances_of
from meta.answering.q4_ranking import MAX_SCORED_VIEWS, Space, choose_scored, held_out
from meta.answering.q5_model_choice import Contender, choose_model
from meta.answering.q6_hyperparameters import hyperparameters
from meta.answering.space_fits import describe_spaces, fit_spaces
from meta.answering.warnings import level_warnings, truncation_warnings
from meta.answering.wider_intervals import interval_factor, widen
from meta.answers import Answers
from meta.given.sample import NOT_LABELLED, EmbeddedEncoder, EvalSample, Prepared
from meta.metric import MEDIAN, Metric, check_request
from meta.priors.spaces import ViewPrior
from meta.schema import (
    CurvePoint,
    DataNeeded,
    Evidence,
    LabelBatch,
    LabelNext,
    RankedView,
    ScreenedView,
    ViewName,
)

N_SUSPECT_SPACES = 3
"""Suspect labels are judged by the mean probabilities of this many of the best spaces."""


class Forecaster(Protocol):
    """What is needed of a metamodel (`meta.metamodel.model.Metamodel`)."""

    @property
    def metric(self) -> str: ...
    @property
    def card(self) -> dict[str, Any]: ...
    @property
    def view_prior(self) -> ViewPrior | None: ...
    def curve(
        self, features: Mapping[str, float], horizons: Sequence[int] | np.ndarray
    ) -> np.ndarray: ...
    def outside(self, features: Mapping[str, float]) -> list[str]: ...


@dataclass(frozen=True)
class _Forecast:
    """A space with its quantile curve (H, 5) at the run's horizons."""

    space: Space
    encoder: EmbeddedEncoder
    curve: np.ndarray
    correction: Correction | None = None
    """By labelled evaluation rows; None where there are none, or too few."""


@one_blas_thread
def answer_questions(
    prepared: Prepared,
    encoders: Sequence[EmbeddedEncoder],
    metamodel: Forecaster,
    *,
    metric: Metric = Metric.ACCURACY,
    target: float | None = None,
    metamodel_name: str = "",
    n_label_next: int = 20,
    max_scored_views: int = MAX_SCORED_VIEWS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """Answer all six questions.

    `encoders` hold the vectors of `prepared`'s rows. `progress` gets (spaces done, spaces to do).
    Raises UserError for an unknown metric, a target out of range, no encoder, or a metamodel of
    another metric.
    """
    check_request(metric, target, metamodel.metric)
    if not encoders:
        raise UserError("no encoder: give at least one --encoder")
    labels, n_classes = prepared.train.labels, len(prepared.train.label_names)
    n_spaces = sum(len(encoder.views) for encoder in encoders)
    n_steps = n_spaces + min(max_scored_views, n_spaces)
    report = progress or (lambda done, total: None)
    spaces, owners = fit_spaces(
        encoders, labels, n_classes, metric, lambda done: report(done, n_steps)
    )
    comparison = compare_spaces(spaces, metamodel.view_prior, metric)
    chosen = choose_scored(
        spaces, metric, max_scored_views, comparison.accuracy if comparison is not None else None
    )
    factor, warnings = interval_factor(
        labels,
        prepared.train.label_names,
        (*prepared.train.texts, *prepared.evaluation.texts),
        metric,
    )
    sizes = horizons(len(labels))
    forecast_curves: dict[int, np.ndarray] = {}
    outside: list[str] = []
    described = describe_spaces([(owners[i], spaces[i]) for i in chosen], labels, n_classes, seed)
    for done, (i, features) in enumerate(zip(chosen, described, strict=True)):
        outside += [phrase for phrase in metamodel.outside(features) if phrase not in outside]
        forecast_curves[i] = widen(metamodel.curve(features, sizes), factor, metric)
        report(min(n_spaces + done + 1, n_steps), n_steps)
    if comparison is not None:
        forecast_curves = aligned(forecast_curves, comparison)
    forecasts = {
        i: _Forecast(
            spaces[i],
            owners[i],
            *_corrected(curve, spaces[i], owners[i], prepared.evaluation, metric),
        )
        for i, curve in forecast_curves.items()
    }
    ranked = sorted(chosen, key=lambda i: _worse(forecasts[i].curve[0, MEDIAN], metric))
    chances = chances_of(
        spaces, {i: f.curve for i, f in forecasts.items()}, comparison, metric, seed
    )
    curves = [forecasts[i].curve for i in ranked]
    counts = np.bincount(labels, minlength=n_classes)
    constant = constant_score(counts, metric)
    aim = target if target is not None else default_target(curves, metric, constant)
    best = forecasts[ranked[0]]
    picks, batch = _label_next(prepared, best, sizes, n_label_next, seed)
    contenders = [
        Contender(
            f.space.info,
            f.space.view,
            float(f.curve[0, MEDIAN]),
            float(chances.within[i]),
            f.encoder.milliseconds_per_text,
        )
        for i, f in ((i, forecasts[i]) for i in ranked)
    ]
    position, model = choose_model(contenders, metric)
    economical = forecasts[ranked[position]].space
    if outside:
        warnings.append(
            f"outside the metamodel's training range ({'; '.join(outside)}): its intervals are"
            " wider, and less certain"
        )
    agreed = np.mean(
        [_held_out_probabilities(spaces[i]) for i in ranked[:N_SUSPECT_SPACES]], axis=0
    )
    doubted = suspect_labels(agreed, prepared.train, prepared.conflicts)
    always = constant_words(counts, prepared.train.label_names, metric)
    warnings += level_warnings(constant, always, best.curve, metric, target)
    warnings += unlearnt_classes(doubted, prepared.train)
    warnings += truncation_warnings(prepared, encoders)
    eval_labels, unused = eval_labels_answer(best.correction, prepared.evaluation.labels, metric)
    warnings += unused
    return Answers(
        schema_version=1,
        metric=metric,
        n_train=len(labels),
        n_train_given=prepared.n_train_given,
        n_eval=len(prepared.evaluation),
        n_classes=n_classes,
        class_counts={
            name: int(count) for name, count in zip(prepared.train.label_names, counts, strict=True)
        },
        majority_share=float(counts.max() / len(labels)),
        constant_score=constant,
        target=aim,
        target_source="default" if target is None else "user",
        encoders=[_ranked_view(forecasts[i], sizes, i, chances) for i in ranked],
        screened=_screened(spaces, forecasts, chances),
        eval_labels=eval_labels,
        untried=untried_encoders(spaces, (*prepared.train.texts, *prepared.evaluation.texts)),
        data_needed=_data_needed([forecasts[i] for i in ranked], sizes, aim, metric),
        label_next=picks,
        label_batch=batch,
        suspect_labels=doubted,
        model=model,
        hyperparameters=hyperparameters(
            best.space.fit,
            economical.info,
            model.layers,
            labels,
            float(best.curve[0, MEDIAN]) if metric == Metric.ACCURACY else None,
        ),
        evidence=_evidence(metamodel, metamodel_name, not outside, factor),
        warnings=[*prepared.warnings, *warnings],
    )


# --- inside ---------------------------------------------------------------------------------------


def _corrected(
    curve: np.ndarray,
    space: Space,
    encoder: EmbeddedEncoder,
    evaluation: EvalSample,
    metric: Metric,
) -> tuple[np.ndarray, Correction | None]:
    def probabilities() -> np.ndarray:
        _, X_eval = encoder.views[space.view]
        return space.fit.probabilities(space.fit.scores(X_eval))

    return correct_forecast(curve, evaluation.labels, probabilities, metric)


def _ranked_view(forecast: _Forecast, sizes: np.ndarray, i: int, chances: Chances) -> RankedView:
    return RankedView(
        encoder=forecast.space.info.ref,
        view=_view_name(forecast.space),
        p_best=float(chances.best[i]),
        p_best_16x=float(chances.best_16x[i]),
        p_within_tolerance=float(chances.within[i]),
        held_out=held_out(forecast.space.hits),
        measured=forecast.space.held_out,
        curve=[
            CurvePoint(n_train=int(n), q05=row[0], q25=row[1], q50=row[2], q75=row[3], q95=row[4])
            for n, row in zip(sizes, forecast.curve.tolist(), strict=True)
        ],
    )


def _screened(
    spaces: Sequence[Space], forecasts: Mapping[int, _Forecast], chances: Chances
) -> list[ScreenedView]:
    left = sorted(
        (i for i in range(len(spaces)) if i not in forecasts), key=lambda i: -chances.best[i]
    )
    return [
        ScreenedView(
            encoder=spaces[i].info.ref,
            view=_view_name(spaces[i]),
            p_best=float(chances.best[i]),
            held_out=held_out(spaces[i].hits),
            measured=spaces[i].held_out,
        )
        for i in left
    ]


def _data_needed(
    forecasts: Sequence[_Forecast], sizes: np.ndarray, target: float, metric: Metric
) -> DataNeeded:
    needs = [
        encoder_need(f.space.info.ref, f.space.view, sizes, f.curve, target=target, metric=metric)
        for f in forecasts
    ]
    chosen = fewest_labels(needs)
    by_encoder = []
    for ref in dict.fromkeys(need.encoder for need in needs):
        own = [need for need in needs if need.encoder == ref]
        by_encoder.append(own[fewest_labels(own)])
    return DataNeeded(
        **needs[chosen].model_dump(),
        searched_up_to=int(sizes[-1]),
        plan=labelling_plan(
            needs[chosen], sizes, forecasts[chosen].curve, target=target, metric=metric
        ),
        by_encoder=by_encoder,
    )


def _label_next(
    prepared: Prepared, best: _Forecast, sizes: np.ndarray, n_rows: int, seed: int
) -> tuple[list[LabelNext], LabelBatch | None]:
    train, evaluation = prepared.train, prepared.evaluation
    given = evaluation.labels
    to_label = (
        np.flatnonzero(given == NOT_LABELLED) if given is not None else np.arange(len(evaluation))
    )
    if not len(to_label):
        return [], None
    X, X_eval = best.encoder.views[best.space.view]
    X_eval = X_eval[to_label]
    fit = best.space.fit
    probabilities = fit.probabilities(fit.scores(X_eval))
    picks = label_next(
        X, train.labels, X_eval, probabilities, train.label_names, n_rows=n_rows, seed=seed
    )
    rows = [
        LabelNext(
            row=int(evaluation.positions[at]),
            text=evaluation.texts[at],
            text_pair=evaluation.text_pair[at] if evaluation.text_pair is not None else None,
            score=pick.score,
            reason=pick.reason,
            why=pick.why,
        )
        for pick, at in ((pick, int(to_label[pick.row_idx])) for pick in picks)
    ]
    after = np.interp(np.log2(len(train) + len(rows)), np.log2(sizes), best.curve[:, MEDIAN])
    gain = abs(float(after - best.curve[0, MEDIAN]))  # curves only get better
    return rows, LabelBatch(
        n_rows=len(rows), gain=gain, strategy=strategy(len(train), len(train.label_names))
    )


def _evidence(metamodel: Forecaster, name: str, in_range: bool, factor: float) -> Evidence:
    tables = metamodel.card.get("evaluation", {})
    errors = {
        horizon: row["metamodel"] / 100 for horizon, row in tables.get("mae_points", {}).items()
    }
    coverage = tables.get("coverage", {}).get("90", {}).get("all", {}).get("coverage")
    return Evidence(
        metamodel=name,
        tasks=len(metamodel.card.get("tasks", [])),
        tasks_left_out=tables.get("n_tasks"),
        held_out_mae=errors,
        held_out_coverage_90=coverage,
        held_out_required_n_within_2x={
            horizon: {"q50": row["metamodel"], "n_if_reached": row["metamodel_if_reached"]}
            for horizon, row in tables.get("required_n_within_2x", {}).items()
            if "metamodel_if_reached" in row  # evaluations of older studies do not have it
        },
        in_training_range=in_range,
        interval_factor=factor,
    )


def _held_out_probabilities(space: Space) -> np.ndarray:
    return space.fit.probabilities(space.fit.loo_scores)


def _view_name(space: Space) -> ViewName:
    return ViewName(layer=space.view.layer, pooling=space.view.pooling)


def _worse(value: float, metric: Metric) -> float:
    return -value if metric.is_rate else value
