"""Questions 1 and 3: how many labels are needed, which rows to label next, which labels look
wrong."""

from typing import Literal

from meta.schema.part import AnswerPart, ViewName


class LabellingRound(AnswerPart):
    """One round of the labelling plan: label `label` more rows, then ask again with `n_train`
    rows."""

    round: int
    label: int
    n_train: int
    q05: float
    q50: float
    q95: float
    """Quantiles of the metric after the round."""
    p_reached: float | None = None
    """Probability that the target is reached by then."""


class EncoderNeed(AnswerPart):
    """How many labels one embedding space needs. Null means: more than `searched_up_to`."""

    encoder: str
    view: ViewName
    reachable: bool
    status: Literal["reached", "reachable", "uncertain", "not_reachable"]
    """`reached`: the median is at the target now. `reachable`: the median gets there. `uncertain`:
    only an optimistic quantile gets there. `not_reachable`: not even the most optimistic quantile
    does."""
    q05: int | None
    q50: int | None
    q95: int | None
    n_if_reached_q05: int | None = None
    n_if_reached: int | None = None
    n_if_reached_q95: int | None = None
    """Quantiles of the required n, given that the target is not met now and is within reach: more
    often right than `q50`. Where the target is reached they are `n_train`. Null only where more
    labels make the target hardly more likely and it is not likely either."""
    p_reached_now: float
    p_reachable: float
    """Probability that the metric at `searched_up_to` rows is at the target or better."""


class DataNeeded(EncoderNeed):
    """Question 1: the labels that the space with the smallest need requires."""

    searched_up_to: int
    """Largest `n_train` of the forecasts (16 times the present one)."""
    plan: list[LabellingRound]
    by_encoder: list[EncoderNeed]
    """For each encoder, its space that needs the fewest labels."""


class LabelNext(AnswerPart):
    """Question 3: an evaluation row worth labelling."""

    row: int
    """Position in the evaluation file."""
    text: str
    text_pair: str | None = None
    score: float
    """In [0, 1]; comparable only within this list."""
    reason: Literal["uncovered region", "uncertain", "rare class", "typical"]
    why: str
    """The reason in a sentence."""


class LabelBatch(AnswerPart):
    """What labelling all rows of `label_next` should bring. The forecast treats them as rows that
    are drawn at random."""

    n_rows: int
    gain: float
    """Median forecast after the batch less the median now, in the unit of the metric; never
    negative: a falling log-loss is a gain too."""
    strategy: str
    """How the rows were chosen, in words."""


class SuspectLabel(AnswerPart):
    """Question 3: a labelled row whose label looks wrong."""

    row: int
    """Position in the labelled file."""
    text: str
    given: str
    likely: str
    score: float
    """1 − the probability of the given label: the probes' in leave-one-out, or the label's share of
    the rows with the same text, or with near-copies of it."""
    reason: Literal["predicted otherwise", "same text, other label", "near-copy, other label"]
