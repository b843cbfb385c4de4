"""Questions 2 and 4: the embedding spaces with their forecasts, and encoders that were not
tried."""

from pydantic import Field

from meta.schema.part import AnswerPart, Interval, ViewName


class CurvePoint(AnswerPart):
    """Forecast of the metric of a probe that is trained on `n_train` rows and evaluated on rows
    like those of the evaluation sample."""

    n_train: int
    times: float | None = None
    """This many times the present labelled rows. Repeated rows count once, so that sizes asked for
    in rows given can be found again. None in answers of earlier builds."""
    q05: float
    q25: float
    q50: float
    q75: float
    q95: float


class BestPoint(CurvePoint):
    """The forecast of the space that is the best choice at `n_train`
    (`meta.answering.best_choice`)."""

    encoder: str
    view: ViewName


class HeldOut(AnswerPart):
    """Leave-one-out accuracy on the labelled sample, with the 90 % interval of its sampling noise
    (Wilson)."""

    accuracy: float
    q05: float
    q95: float


class EvalLabels(AnswerPart):
    """Question 2, where labels of evaluation rows were given: the metric of the best space's probe
    at `n_train`. It is measured on those rows, and the probe's predictions for the other rows make
    its interval narrower. `curve` of that space has been corrected by it."""

    n_labelled: int
    n_given: int | None = None
    """Evaluation rows with a label in the user's file. More than `n_labelled` where rows repeat, or
    are also among the labelled rows. None in answers of earlier builds."""
    estimate: float
    q05: float
    q95: float
    """End of the 90 % interval of the estimate alone, without the metamodel."""
    weight: float
    """In [0, 1]: weight of the probe's own confidence on unlabelled rows."""
    before: Interval
    """The forecast at `n_train` without these labels."""


class RankedView(AnswerPart):
    """One embedding space with its forecast. The list is ordered by the median forecast at
    `n_train`, the best first."""

    encoder: str
    view: ViewName
    p_best: float
    """Probability that it is the best of all spaces compared, screened ones included, at
    `n_train`."""
    p_best_16x: float
    """The same probability at 16 times the labels; curves may cross."""
    p_within_tolerance: float
    """Probability that it is within half a point of the best at `n_train`."""
    held_out: HeldOut
    measured: float | None = None
    """The metric that was asked for, in leave-one-out. `held_out` is always accuracy."""
    curve: list[CurvePoint] = Field(min_length=1)


class ScreenedView(AnswerPart):
    """A space that was compared by leave-one-out and did not get a forecast of its own."""

    encoder: str
    view: ViewName
    p_best: float
    held_out: HeldOut
    measured: float | None = None
    """As in `RankedView`."""


class UntriedEncoder(AnswerPart):
    """Question 4: an encoder of the hub that the user did not give. It is judged by published
    results and by what the tried encoders reached on this task."""

    encoder: str
    p_beats_best_tried: float
    """Probability that its accuracy on this task is above that of the best encoder tried."""
    q05: float
    q50: float
    q95: float
    """Quantiles of its accuracy at `n_train`, on rows like the labelled ones."""
    parameters: int | None
    n_tasks: int
    """Number of published tasks on which it was measured."""


class UntriedReliability(AnswerPart):
    """Statements that an encoder that was not tried is better, of about the same probability, made
    about published tasks whose results were held back."""

    said: float
    """Mean probability that was said."""
    came: float
    """Share that came true. Families of tasks count equally."""
    families: int
    """Number of families of tasks."""


class UntriedBasis(AnswerPart):
    """Question 4: what `untried` rests on."""

    language: str
    """`english` or `other`: the published tasks that it rests on."""
    kinds: dict[str, float]
    """How probable it is, by the labels and the texts, that the task is of each kind: `sentiment`,
    `toxicity`, `topic`, `intent`, `other`."""
    tasks: int
    """Number of published tasks."""
    tasks_of_kind: int
    """Number of those that are of the likeliest kind."""
    known: dict[str, str]
    """Reference -> hub name of each tried encoder that was recognised, by its weights or because it
    came from the hub. The others are judged by their size, and by what they reached here."""
    called_alike: dict[str, str]
    """Reference -> hub name of each tried encoder that was not recognised, and is called like a
    published one. It may be that one, or a fine-tuned copy; nothing here tells."""
    reliability: list[UntriedReliability]
    """What was said and what came true, from low to high probabilities."""
