"""The six answers for one labelled sample, one evaluation sample and some embedding spaces.

The code here is pure: arrays and a fitted metamodel go in, `Answers` come out. `meta.api` reads
files and encodes texts. Of the evaluation sample, only labels that the user gives for it are used.
Each question has a function of its own. It reads the forecasts of the spaces
(`meta.answering.forecasts`).
"""

from collections.abc import Callable, Sequence

import numpy as np

from cluster.storage import UserError
from meta.answering.constant_answer import constant_score, constant_words
from meta.answering.evidence import evidence
from meta.answering.forecasts import Forecaster, forecast_spaces
from meta.answering.on_cores import one_blas_thread
from meta.answering.q1_data_needed import data_needed, default_target
from meta.answering.q2_eval_labels import eval_labels_answer
from meta.answering.q3_label_errors import unlearnt_classes
from meta.answering.q3_labels import rows_to_label, wrong_labels
from meta.answering.q4_encoders_not_tried import untried_encoders
from meta.answering.q4_ranking import MAX_FORECAST_SPACES
from meta.answering.q4_spaces import best_curve, ranked_views, screened_views
from meta.answering.q5_model_choice import model_answer
from meta.answering.q6_hyperparameters import hyperparameters
from meta.answering.warnings import (
    constant_answer_warnings,
    range_warnings,
    scarce_class_warnings,
    truncation_warnings,
    unseen_encoder_warnings,
)
from meta.answers import Answers
from meta.given.embedded_encoder import EmbeddedEncoder
from meta.given.prepare import PreparedSamples
from meta.metric import Metric, check_request


@one_blas_thread
def answer_questions(
    prepared: PreparedSamples,
    encoders: Sequence[EmbeddedEncoder],
    metamodel: Forecaster,
    *,
    metric: Metric = Metric.ACCURACY,
    target: float | None = None,
    metamodel_name: str = "",
    n_label_next: int = 20,
    max_forecast_spaces: int = MAX_FORECAST_SPACES,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """Answer all six questions.

    `encoders` hold the vectors of `prepared`'s rows. At most `max_forecast_spaces` spaces get a
    forecast, or two for each encoder where that is more. `progress` is called with (steps done,
    steps to do). Raises UserError for an unknown metric, a target out of range, no encoder, or a
    metamodel of another metric.
    """
    metric = check_request(metric, target, metamodel.metric)
    if not encoders:
        raise UserError("no encoder: give at least one --encoder")
    train, evaluation = prepared.train, prepared.evaluation
    forecasts = forecast_spaces(
        prepared,
        encoders,
        metamodel,
        metric,
        max_forecast_spaces=max_forecast_spaces,
        seed=seed,
        progress=progress,
    )
    counts = np.bincount(train.labels, minlength=len(train.label_names))
    constant = constant_score(counts, metric)
    chosen_target = (
        target
        if target is not None
        else default_target(forecasts.best_choice.curve, metric, constant)
    )
    eval_labels, notes_on_labels = eval_labels_answer(
        forecasts.best.correction, evaluation.labels, prepared.n_eval_labels_given, metric
    )
    label_next, label_batch = rows_to_label(forecasts, prepared, n_label_next, seed)
    suspects = wrong_labels(forecasts, prepared)
    economical, model = model_answer(forecasts)
    untried, untried_basis = untried_encoders(forecasts.spaces, prepared)
    return Answers(
        schema_version=1,
        metric=metric,
        n_train=len(train),
        n_train_given=prepared.n_train_given,
        n_eval=len(evaluation),
        n_classes=len(train.label_names),
        class_counts={
            name: int(count) for name, count in zip(train.label_names, counts, strict=True)
        },
        majority_share=float(counts.max() / len(train)),
        constant_score=constant,
        target=chosen_target,
        target_source="default" if target is None else "user",
        encoders=ranked_views(forecasts, train.groups),
        screened=screened_views(forecasts, train.groups),
        best_curve=best_curve(forecasts),
        eval_labels=eval_labels,
        untried=untried,
        untried_basis=untried_basis,
        data_needed=data_needed(forecasts, chosen_target),
        label_next=label_next,
        label_batch=label_batch,
        suspect_labels=suspects,
        model=model,
        hyperparameters=hyperparameters(
            forecasts.best.space.fit,
            economical.space.info,
            model.layers,
            train.labels,
            forecasts.best.median_now if metric is Metric.ACCURACY else None,
        ),
        evidence=evidence(metamodel, metamodel_name, forecasts),
        warnings=[
            *prepared.warnings,
            *forecasts.notes,
            *range_warnings(forecasts.outside),
            *unseen_encoder_warnings(
                [encoder.info.ref for encoder in encoders],
                metamodel.card.get("encoders", ()),
                metamodel.card.get("evaluation", {}).get("unseen_encoder", {}),
            ),
            *scarce_class_warnings(
                prepared, *forecasts.best.encoder.views[forecasts.best.space.view]
            ),
            *constant_answer_warnings(
                constant,
                constant_words(counts, train.label_names, metric),
                forecasts.best.curve,
                metric,
                target,
            ),
            *unlearnt_classes(suspects, train),
            *truncation_warnings(prepared, encoders),
            *notes_on_labels,
        ],
    )
