"""The six answers on made-up embeddings, with a forecaster whose truth is known."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cluster.storage import UserError
from meta.answering.answer import answer_questions
from meta.answering.q4_ranking import hit_correlation, joint_draws, probability_best
from meta.answering.wider_intervals import add_noise, interval_factor, looks_english, widen
from meta.answers import Answers
from meta.given.embedded_encoder import EmbeddedEncoder
from meta.given.prepare import MIN_EVAL_ROWS, PreparedSamples, prepare
from meta.given.sample import NOT_LABELLED, EvalSample, LabelledSample
from meta.metamodel.quantile_curves import probability_reached
from meta.metric import Metric
from meta.priors.spaces import SpaceKey, ViewPrior
from meta.report.six_answers import six_answers
from probes.encoders.base import EncoderInfo, View
from probes.features.crossfit import fit_ridge

WORDS = (
    "the",
    "price",
    "of",
    "this",
    "and",
    "that",
    "is",
    "what",
    "we",
    "have",
    "to",
    "ask",
    "about",
    "it",
    "for",
)
SPACES = [View(0, "mean"), View(1, "mean"), View(2, "mean"), View(2, "max")]
SIGNAL = {SPACES[0]: 0.3, SPACES[1]: 1.0, SPACES[2]: 1.02, SPACES[3]: 0.6}


class LawForecaster:
    """Its error is the leave-one-out error at n and falls as n^-0.5, with a spread of 3 points."""

    metric = Metric.ACCURACY
    view_prior: ViewPrior | None = None
    card: Mapping[str, Any] = {"tasks": ["a", "b", "c"]}

    def __init__(self, phrases: Sequence[str] = ()):
        self.phrases, self.seen = list(phrases), []

    def curve(self, features: Mapping[str, float], horizons: np.ndarray) -> np.ndarray:
        self.seen.append(dict(features))
        error = (1 - features["ridge_loo_accuracy"]) * (
            np.asarray(horizons) / features["n_train"]
        ) ** -0.5
        return np.clip((1 - error)[:, None] + 0.03 * np.array([-1.0, -0.4, 0.0, 0.4, 1.0]), 0, 1)

    def outside(self, features: Mapping[str, float]) -> list[str]:
        return self.phrases

    def outside_factor(self, features: Mapping[str, float]) -> float:
        return 1.25 ** len(self.phrases)


class FlatForecaster(LawForecaster):
    """It forecasts the same level at every size, whatever the sample."""

    def __init__(self, level: float, width: float = 0.03):
        super().__init__()
        self.level, self.width = level, width

    def curve(self, features: Mapping[str, float], horizons: np.ndarray) -> np.ndarray:
        return np.tile(
            self.level + self.width * np.array([-1.0, -0.4, 0.0, 0.4, 1.0]), (len(horizons), 1)
        )


def make_problem(
    n_eval: int = 150, *, small: bool = True
) -> tuple[PreparedSamples, list[EmbeddedEncoder]]:
    """90 labelled and `n_eval` unlabelled distinct English texts of three classes, and their
    vectors. There are two encoders with four views, which differ in how well they separate the
    classes, or (`small`) one encoder with two views."""
    n_train, n_classes, seed = 90, 3, 0
    rng = np.random.default_rng(seed)
    y, y_eval = np.arange(n_train) % n_classes, rng.integers(0, n_classes, n_eval)
    names = tuple(f"class{i}" for i in range(n_classes))
    train = LabelledSample(make_texts(n_train, "t", rng), y, names)
    prepared = prepare(train, EvalSample(make_texts(n_eval, "e", rng)) if n_eval else None)
    encoders = []
    for number, (name, strength) in enumerate((("hf:strong", 1.0), ("hf:weak", 0.5))):
        info = EncoderInfo(name, f"{number:016d}", "hf", 2, 16, 1_000_000, 128, tuple(SPACES))
        means = rng.standard_normal((n_classes, 16))
        noise, noise_eval = rng.standard_normal((n_train, 16)), rng.standard_normal((n_eval, 16))
        wanted = SPACES[1:3] if small else SPACES
        views = {
            view: (
                means[y] * SIGNAL[view] * strength + noise,
                means[y_eval] * SIGNAL[view] * strength + noise_eval,
            )
            for view in wanted
        }
        encoders.append(EmbeddedEncoder(info, views, milliseconds_per_text=2.0))
    return prepared, encoders[:1] if small else encoders


def make_texts(n_texts: int, prefix: str, rng: np.random.Generator) -> tuple[str, ...]:
    return tuple(f"{prefix}{i} " + " ".join(rng.choice(WORDS, 8)) for i in range(n_texts))


@pytest.fixture(scope="module")
def answers() -> Answers:
    return answer_questions(
        *make_problem(small=False), LawForecaster(), target=0.97, max_forecast_spaces=6
    )


def test_all_six_questions_are_answered(answers: Answers):
    assert (
        answers.data_needed.q50 is not None and answers.data_needed.q05 <= answers.data_needed.q50
    )
    assert [point.n_train for point in answers.encoders[0].curve][::2] == [90, 180, 360, 720, 1440]
    assert answers.label_next and all(0 <= row.row < 150 for row in answers.label_next)
    assert len(answers.encoders) == 6 and len(answers.screened) == 2
    assert answers.model.layers in (1, 2) and answers.model.milliseconds_per_text is not None
    assert answers.hyperparameters.probe.source == "leave-one-out"
    finetune = answers.hyperparameters.finetune
    assert finetune.source == "published runs"
    gain = finetune.gain.ordinary
    assert gain.q05 <= gain.q50 <= gain.q95
    assert answers.warnings == []


def test_the_ranking_finds_the_informative_space(answers: Answers):
    best = answers.encoders[0]
    assert best.encoder == "hf:strong" and best.view.layer in (1, 2) and best.view.pooling == "mean"
    medians = [space.curve[0].q50 for space in answers.encoders]
    assert medians == sorted(medians, reverse=True)
    total = sum(space.p_best for space in (*answers.encoders, *answers.screened))
    assert total == pytest.approx(1.0)
    assert {space.encoder for space in answers.encoders} == {"hf:strong", "hf:weak"}
    assert all(
        space.held_out.q05 <= space.held_out.accuracy <= space.held_out.q95
        for space in answers.encoders
    )


def test_the_same_inputs_give_the_same_answers():
    once, again = (answer_questions(*make_problem(), LawForecaster(), seed=3) for _ in range(2))
    assert again == once


def test_nothing_depends_on_evaluation_labels_but_shift_is_seen():
    prepared, encoders = make_problem()
    forecaster = LawForecaster()
    answer_questions(prepared, encoders[:1], forecaster)
    assert np.isfinite(forecaster.seen[0]["shift_mmd2"])
    assert forecaster.seen[0]["log2_n_eval"] == pytest.approx(np.log2(150))


def test_a_handful_of_evaluation_rows_does_not_move_the_forecast():
    few, none = (LawForecaster() for _ in range(2))
    prepared, encoders = make_problem(n_eval=MIN_EVAL_ROWS - 1)
    answers = answer_questions(prepared, encoders, few)
    assert any(
        f"only {MIN_EVAL_ROWS - 1} evaluation rows: forecasts assume" in warning
        for warning in answers.warnings
    )
    assert answers.label_next, "they can be labelled all the same"
    without = [
        EmbeddedEncoder(each.info, {view: (X, X[:0]) for view, (X, _) in each.views.items()})
        for each in encoders
    ]
    answer_questions(replace(prepared, evaluation=EvalSample(())), without, none)
    np.testing.assert_equal(few.seen, none.seen)
    enough = LawForecaster()
    answer_questions(*make_problem(n_eval=MIN_EVAL_ROWS), enough)
    assert np.isfinite(enough.seen[0]["shift_mmd2"])


def test_a_target_that_is_no_number_is_refused():
    with pytest.raises(UserError, match=r"target '0\.9': must be a number"):
        answer_questions(*make_problem(), LawForecaster(), target="0.9")


def test_without_an_evaluation_sample_it_says_so_and_claims_no_shift():
    prepared, encoders = make_problem(n_eval=0)
    forecaster = LawForecaster()
    answers = answer_questions(prepared, encoders, forecaster)
    assert answers.n_eval == 0 and answers.label_next == [] and answers.label_batch is None
    assert any("no evaluation sample" in warning for warning in answers.warnings)
    seen = forecaster.seen[0]
    assert np.isnan(seen["shift_mmd2"]) and seen["shift_domain_auc"] == 0.5
    assert seen["eval_atc_accuracy"] == seen["ridge_loo_accuracy"]


def with_eval_labels(
    n_labelled: int, *, right: float = 0.6, seed: int = 5
) -> tuple[PreparedSamples, list[EmbeddedEncoder]]:
    """The problem, with labels for the first evaluation rows. The probe is right for the share
    `right` of these."""
    prepared, encoders = make_problem()
    X, X_eval = encoders[0].views[SPACES[1]]
    fit = fit_ridge(X, prepared.train.labels, 3)
    guess = fit.scores(X_eval).argmax(axis=1)
    is_right = np.random.default_rng(seed).random(150) < right
    labels = np.where(is_right, guess, (guess + 1) % 3)
    labels[n_labelled:] = NOT_LABELLED
    return replace(prepared, evaluation=replace(prepared.evaluation, labels=labels)), encoders


def test_labelled_evaluation_rows_correct_the_forecast_and_narrow_it_and_it_is_said():
    plain = answer_questions(*make_problem(), FlatForecaster(0.8, width=0.15))
    corrected = answer_questions(*with_eval_labels(120), FlatForecaster(0.8, width=0.15))
    assert plain.eval_labels is None
    given = corrected.eval_labels
    assert given is not None and given.n_labelled == 120
    assert given.before.q50 == pytest.approx(0.8) and given.q05 < given.estimate < given.q95 < 0.8
    now, was = corrected.encoders[0].curve[0], plain.encoders[0].curve[0]
    assert now.q95 - now.q05 < 0.8 * (was.q95 - was.q05) and now.q50 < was.q50
    sentence = six_answers(corrected, {})[1].sentence
    assert (
        "Your 120 labelled evaluation rows measure" in sentence
        and "without them the forecast was 80.0" in sentence
    )
    assert "labelled evaluation rows" not in six_answers(plain, {})[1].sentence


def test_few_labelled_evaluation_rows_change_nothing_and_it_is_said():
    plain = answer_questions(*make_problem(), LawForecaster())
    few = answer_questions(*with_eval_labels(12), LawForecaster())
    assert few.eval_labels is None and few.encoders == plain.encoders
    assert any("--eval-labels: not used (12 distinct" in warning for warning in few.warnings)


def test_rows_that_have_a_label_are_not_proposed_for_labelling():
    prepared, encoders = make_problem()
    texts = dict(
        zip(prepared.evaluation.positions.tolist(), prepared.evaluation.texts, strict=True)
    )
    best, *others = (
        pick.row for pick in answer_questions(prepared, encoders, LawForecaster()).label_next
    )
    labels = np.where(prepared.evaluation.positions == best, 0, NOT_LABELLED)
    labelled = replace(prepared, evaluation=replace(prepared.evaluation, labels=labels))
    then = {
        pick.row: pick.text
        for pick in answer_questions(labelled, encoders, LawForecaster()).label_next
    }
    assert then and then.keys() <= set(others), "the probe is sure of all rows but these"
    assert all(texts[row] == text for row, text in then.items())
    every = answer_questions(*with_eval_labels(150), LawForecaster())
    assert every.label_next == [] and every.label_batch is None
    assert "none can be proposed for labelling" in six_answers(every, {})[2].sentence


def test_a_default_target_is_named_as_such():
    answers = answer_questions(*make_problem(), LawForecaster())
    assert answers.target_source == "default"
    assert answers.target == pytest.approx(
        np.floor((answers.encoders[0].curve[-1].q50 - 0.01) * 100) / 100, abs=0.0101
    )


def test_a_class_with_one_row_is_answered_with_a_warning_and_wider_intervals():
    prepared, encoders = make_problem()
    labels = prepared.train.labels.copy()
    labels[labels == 2] = 0
    labels[5] = 2
    lonely = PreparedSamples(
        LabelledSample(prepared.train.texts, labels, prepared.train.label_names),
        prepared.evaluation,
        (),
        (),
        90,
    )
    answers = answer_questions(lonely, encoders, LawForecaster())
    assert any("a single labelled row in class 'class2'" in warning for warning in answers.warnings)
    assert answers.evidence.interval_factor == pytest.approx(4 / 3)
    point = answers.encoders[0].curve[0]
    assert point.q95 - point.q05 > 0.06 * 1.2 or point.q95 == 1.0


def test_each_reason_for_wider_intervals_names_its_factor_and_the_last_one_their_product():
    texts = ["hinta nousi taas huomattavasti viime kuussa koko maassa"] * 20
    factor, (single, language) = interval_factor(
        np.array([0, 0, 1, 1, 2, 2, 3]), tuple("abcd"), texts, Metric.ACCURACY
    )
    assert factor == pytest.approx(1.25 * 1.5)
    assert "made 1.25 times as wide; label a second row" in single
    assert (
        "made 1.5 times as wide (1.88 times with the factor of 1.25 above); compare multilingual"
        " encoders" in language
    )
    _, (language,) = interval_factor(np.array([0, 0, 1, 1]), ("a", "b"), texts, Metric.ACCURACY)
    assert "made 1.5 times as wide; compare" in language


def test_outside_the_training_range_is_said():
    answers = answer_questions(*make_problem(), LawForecaster(["3 classes, learnt from 10 to 20"]))
    assert any(
        "outside the metamodel's training range (3 classes, learnt from 10 to 20)" in line
        for line in answers.warnings
    )
    assert not answers.evidence.in_training_range


def test_no_better_than_the_majority_is_said():
    prepared, encoders = make_problem()
    rng = np.random.default_rng(1)
    noise = {SPACES[0]: (rng.standard_normal((90, 16)), rng.standard_normal((150, 16)))}
    answers = answer_questions(
        prepared, [EmbeddedEncoder(encoders[0].info, noise)], LawForecaster()
    )
    assert any("no better than always answering" in warning for warning in answers.warnings)
    assert answers.model.milliseconds_source == "not measured"


def test_without_a_target_a_sample_that_cannot_be_learnt_is_never_told_that_it_is_enough():
    prepared, encoders = make_problem()
    rng = np.random.default_rng(1)
    labels = np.where(np.arange(90) % 10 < 7, 0, np.where(np.arange(90) % 10 < 9, 1, 2))
    hard = PreparedSamples(
        LabelledSample(prepared.train.texts, labels, prepared.train.label_names),
        prepared.evaluation,
        (),
        (),
        90,
    )
    noise = {SPACES[0]: (rng.standard_normal((90, 16)), rng.standard_normal((150, 16)))}
    answers = answer_questions(
        hard, [EmbeddedEncoder(encoders[0].info, noise)], FlatForecaster(0.66)
    )
    assert answers.target == pytest.approx(
        0.71
    )  # a point above always answering the first class, 70 %
    assert answers.data_needed.status != "reached"
    first = six_answers(answers, {})[0].sentence
    assert "enough" not in first and "71.0" in first


def test_a_flat_forecast_without_a_target_says_that_more_would_hardly_help():
    answers = answer_questions(*make_problem(), FlatForecaster(0.8))
    first = six_answers(answers, {})[0].sentence
    assert (
        "enough" not in first
        and "More of the same would hardly help" in first
        and "as the target" in first
    )


def test_a_target_that_a_constant_answer_meets_is_said():
    answers = answer_questions(*make_problem(), LawForecaster(), target=0.2)
    assert any(
        "the target of 20.0% is met by always answering" in warning for warning in answers.warnings
    )


def test_a_forecast_not_surely_above_the_majority_is_said():
    answers = answer_questions(*make_problem(), FlatForecaster(0.36, width=0.08))
    assert any("not surely better than always answering" in warning for warning in answers.warnings)


def test_labels_that_are_all_different_are_taken_for_an_identifier():
    texts = tuple(f"text {i}" for i in range(10))
    with pytest.raises(UserError, match=r"a label of its own.*--label-column"):
        prepare(LabelledSample(texts, np.arange(10), tuple("abcdefghij")), None)
    prepared = prepare(LabelledSample(texts, np.arange(10) // 2, tuple("abcde")), None)
    assert any(
        line.startswith("5 different labels in 10 rows") and "is an identifier" in line
        for line in prepared.warnings
    )


def test_truncation_is_said():
    prepared, encoders = make_problem()
    cut = EmbeddedEncoder(encoders[0].info, encoders[0].views, n_truncated=60)
    answers = answer_questions(prepared, [cut], LawForecaster())
    assert "hf:strong reads only the first 128 tokens of 25% of the texts" in answers.warnings


def test_honest_scores_come_from_the_metamodels_card():
    tables = {
        "mae_points": {"1x": {"metamodel": 2.5, "loo": 3}},
        "coverage": {"90": {"all": {"coverage": 0.91}}},
    }
    forecaster = LawForecaster()
    right = {
        "4x": {"n_questions": 9.0, "metamodel": 0.3, "pow3": 0.2, "metamodel_if_reached": 0.5},
        "16x": {"metamodel": 0.1},
    }
    forecaster.card = {**forecaster.card, "evaluation": tables | {"required_n_within_2x": right}}
    evidence = answer_questions(*make_problem(), forecaster).evidence
    assert evidence.held_out_required_n_within_2x == {"4x": {"q50": 0.3, "n_if_reached": 0.5}}
    assert (
        evidence.held_out_mae == {"1x": 0.025}
        and evidence.held_out_coverage_90 == 0.91
        and evidence.tasks == 3
    )


def test_repeated_rows_are_counted_once_and_labelled_rows_leave_the_evaluation_sample():
    train = LabelledSample(
        ("a b", "A  b", "c", "d", "e", "e"), np.array([0, 0, 1, 1, 0, 1]), ("x", "y")
    )
    prepared = prepare(train, EvalSample(("C", "new", "new", "other")))
    assert prepared.train.texts == ("a b", "c", "d", "e", "e")
    assert prepared.train.positions.tolist() == [0, 2, 3, 4, 5]
    assert prepared.evaluation.positions.tolist() == [1, 3]
    assert {(conflict.row, conflict.given, conflict.other) for conflict in prepared.conflicts} == {
        (4, "x", "y"),
        (5, "y", "x"),
    }
    assert prepared.n_train_given == 6
    for words in (
        "1 labelled row repeats",
        "1 labelled text occurs with more than one",
        "1 evaluation row is also",
        "only 2",
    ):
        assert any(words in warning for warning in prepared.warnings), words


def test_very_many_rows_are_sampled_with_every_class_and_it_is_said():
    labels = np.arange(9_000) % 7
    labels[0] = 7
    sample = LabelledSample(tuple(f"row {i}" for i in range(9_000)), labels, tuple("abcdefgh"))
    prepared = prepare(sample, EvalSample(tuple(f"eval {i}" for i in range(9_000))))
    assert 4096 <= len(prepared.train) <= 4097 and len(prepared.evaluation) == 4096
    assert len(np.unique(prepared.train.labels)) == 8
    assert sum("sample of 4096" in warning for warning in prepared.warnings) == 2


def test_only_labelled_rows_to_evaluate_on():
    train = LabelledSample(("a", "b", "c", "d"), np.array([0, 0, 1, 1]), ("x", "y"))
    with pytest.raises(UserError, match="every row is also a labelled row"):
        prepare(train, EvalSample(("a", "B")))
    with pytest.raises(UserError, match="--eval: no rows"):
        prepare(train, EvalSample(()))
    with pytest.raises(UserError, match="no column with second texts"):
        prepare(train, EvalSample(("q",), ("p",)))


def test_other_languages_are_noticed():
    assert looks_english(["What is the price of this and when will it be there?"] * 20)
    assert not looks_english(["Сколько это стоит и когда будет доставлено?"] * 30)
    assert not looks_english(["Berapa harganya dan kapan barang akan dikirim kepada pembeli?"] * 30)
    assert looks_english(["короткий"])


def test_wider_intervals_stay_sorted_and_monotone():
    median = np.array([0.6, 0.7, 0.71, 0.9])
    curve = median[:, None] + np.array([0.02, 0.08, 0.08, 0.08])[:, None] * np.array(
        [-1.0, -0.5, 0.0, 0.5, 1.0]
    )
    for metric, values in ((Metric.ACCURACY, curve), (Metric.LOG_LOSS, 1 - curve[:, ::-1])):
        wide = widen(np.sort(values, axis=1), 2.0, metric)
        assert (np.diff(wide, axis=1) >= 0).all()
        assert (
            np.diff(wide[:, [0, 2, 4]], axis=0) * (1 if metric == "accuracy" else -1) >= -1e-12
        ).all()
        assert (wide[:, 4] >= values[:, 4] - 1e-12).all() and (
            wide[:, 0] <= values[:, 0] + 1e-12
        ).all()
    assert widen(curve, 1.0, Metric.ACCURACY) is curve


def test_wider_intervals_do_not_end_at_the_ends_of_the_scale():
    rates = np.array([[0.02, 0.05, 0.10, 0.15, 0.22], [0.05, 0.1, 0.2, 0.3, 0.4]])
    losses = np.array([[1.0, 1.3, 1.6, 2.0, 2.6], [0.2, 0.3, 0.4, 0.5, 0.7]])
    assert (widen(rates, 1.8, Metric.ACCURACY)[:, 1:] > 0).all() and widen(
        1 - rates[:, ::-1], 1.8, Metric.AUROC
    )[:, :4].max() < 1
    assert (widen(losses, 1.8, Metric.LOG_LOSS) > 0.05).all()
    assert np.array_equal(widen(losses, 1.8, Metric.LOG_LOSS)[:, 2], losses[:, 2])


def test_joint_draws_keep_margins_and_dependence():
    margins = np.array([[0.60, 0.66, 0.70, 0.74, 0.80], [0.61, 0.67, 0.71, 0.75, 0.81]])
    together = joint_draws(margins, np.array([[1.0, 0.99], [0.99, 1.0]]), seed=0, n_draws=20_000)
    apart = joint_draws(margins, np.eye(2), seed=0, n_draws=20_000)
    assert np.quantile(together[:, 0], [0.05, 0.5, 0.95]) == pytest.approx(
        [0.60, 0.70, 0.80], abs=0.004
    )
    assert (
        probability_best(together, Metric.ACCURACY)[1]
        > 0.85
        > probability_best(apart, Metric.ACCURACY)[1]
        > 0.5
    )
    assert probability_best(apart, Metric.LOG_LOSS)[0] > 0.5
    assert probability_best(np.ones((3, 4)), Metric.ACCURACY) == pytest.approx(np.full(4, 0.25))


def test_hit_correlation_is_a_correlation():
    hits = np.array([[1, 1, 0, 0, 1.0], [1, 1, 0, 0, 1.0], [0, 0, 1, 1, 0.0], [1, 1, 1, 1, 1.0]])
    correlation = hit_correlation(hits)
    assert (
        correlation[0, 1] == pytest.approx(0.8)
        and correlation[0, 2] == pytest.approx(-0.8)
        and correlation[0, 3] == 0
    )
    assert np.linalg.eigvalsh(correlation).min() >= -1e-12


def test_probability_reached_agrees_with_the_quantiles():
    quantiles = np.array([0.6, 0.66, 0.7, 0.74, 0.8])
    for level, value in zip((0.05, 0.25, 0.5, 0.75, 0.95), quantiles, strict=True):
        assert probability_reached(quantiles, value, Metric.ACCURACY) == pytest.approx(
            1 - level, abs=1e-6
        )
        assert probability_reached(quantiles, value, Metric.LOG_LOSS) == pytest.approx(
            level, abs=1e-6
        )
    assert probability_reached(quantiles, 0.99, Metric.ACCURACY) < 0.001


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"metric": "acuracy"},
            "--metric acuracy: unknown; choose accuracy, macro_f1, auroc, log_loss",
        ),
        ({"metric": Metric.MACRO_F1}, "this metamodel forecasts accuracy"),
        (
            {"target": 90.0},
            "--target 90: accuracy is a fraction, above 0 and at most 1; did you mean 0.9?",
        ),
        ({"target": 0.0}, "above 0"),
        ({"target": float("nan")}, "above 0"),
    ],
)
def test_bad_requests_are_one_line(arguments: dict[str, Any], message: str):
    with pytest.raises(
        UserError, match="^" + message if message.startswith("--") else message
    ) as error:
        answer_questions(*make_problem(), LawForecaster(), **arguments)
    assert "\n" not in str(error.value)


def test_no_encoder():
    with pytest.raises(UserError, match="no encoder"):
        answer_questions(make_problem()[0], [], LawForecaster())


def prior_for(encoders, *, favourite: str, variance: float) -> ViewPrior:
    """A prior in which all spaces are equally good, except for one that is better by 0.2
    radians."""
    keys = [
        SpaceKey(e.info.ref, view.layer, e.info.n_layers, view.pooling)
        for e in encoders
        for view in e.views
    ]
    names = tuple(key.name for key in keys)
    mean = np.array([0.2 * (name == favourite) for name in names])
    return ViewPrior(names, (64,), mean[None], variance * np.eye(len(names)), (variance,) * 5)


def test_a_prior_of_spaces_moves_the_ranking_and_a_certain_one_decides_it():
    prepared, encoders = make_problem()
    plain = answer_questions(prepared, encoders, LawForecaster())
    worst = plain.encoders[-1]
    favourite = f"{worst.encoder}#{worst.view.layer}/{worst.view.pooling}"
    forecaster = LawForecaster()
    forecaster.view_prior = prior_for(encoders, favourite=favourite, variance=1e-8)
    told = answer_questions(prepared, encoders, forecaster)
    assert (told.encoders[0].encoder, told.encoders[0].view) == (worst.encoder, worst.view)
    assert told.encoders[0].p_best > 0.95
    assert sum(view.p_best for view in [*told.encoders, *told.screened]) == pytest.approx(1.0)
    medians = [view.curve[0].q50 for view in told.encoders]
    assert medians == sorted(medians, reverse=True)
    forecaster.view_prior = prior_for(
        encoders, favourite=favourite, variance=100.0
    )  # this prior hardly knows anything
    unsure = answer_questions(prepared, encoders, forecaster)
    best, best_before = unsure.encoders[0], plain.encoders[0]
    assert best.encoder == best_before.encoder and best.held_out == best_before.held_out


def test_the_prior_leaves_the_common_level_to_the_metamodel():
    prepared, encoders = make_problem()
    plain = answer_questions(prepared, encoders, LawForecaster(), max_forecast_spaces=50)
    forecaster = LawForecaster()
    forecaster.view_prior = prior_for(encoders, favourite="none", variance=0.01)
    told = answer_questions(prepared, encoders, forecaster, max_forecast_spaces=50)
    levels = [
        np.mean([view.curve[0].q50 for view in answers.encoders]) for answers in (plain, told)
    ]
    assert levels[0] == pytest.approx(levels[1], abs=5e-3)


@pytest.mark.parametrize("metric", [Metric.ACCURACY, Metric.LOG_LOSS])
def test_noise_leaves_curves_that_do_not_get_worse_with_labels(metric: Metric):
    offsets = np.array([-0.2, -0.05, 0.0, 0.05, 0.2])
    rates = np.array([0.7, 0.75, 0.76])[:, None] + offsets * np.array([1.0, 0.6, 0.1])[:, None]
    curve = rates if metric.is_rate else np.sort(1.2 - rates, axis=1)
    noisy = add_noise(curve, 0.1, metric)
    assert (metric.sign * np.diff(noisy, axis=0) >= 0).all() and (np.diff(noisy, axis=1) >= 0).all()
