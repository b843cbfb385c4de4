"""The schema of `answers.json`: the six answers, their intervals, and warnings.

Field names are a contract (docs/answers.md). Fields may be added; none is renamed or removed. Rates
are fractions in [0, 1]. Sizes count labelled rows. `row` is the 0-based position among the data
rows of the file that the user gave. `q05` to `q95` are quantiles of what is forecast.
"""

from meta.schema.answers import AnswersContent, Evidence
from meta.schema.labels import (
    DataNeeded,
    EncoderNeed,
    LabelBatch,
    LabellingRound,
    LabelNext,
    SuspectLabel,
)
from meta.schema.model import (
    FinetuneGain,
    FinetuneGains,
    FinetuneSettings,
    Hyperparameters,
    ModelAnswer,
    NoFinetuning,
    ProbeSettings,
    Settings,
    UnsafeModel,
)
from meta.schema.part import AnswerPart, Interval, ViewName
from meta.schema.spaces import (
    BestPoint,
    CurvePoint,
    EvalLabels,
    HeldOut,
    RankedView,
    ScreenedView,
    UntriedBasis,
    UntriedEncoder,
    UntriedReliability,
)

__all__ = [
    "AnswerPart",
    "AnswersContent",
    "BestPoint",
    "CurvePoint",
    "DataNeeded",
    "EncoderNeed",
    "EvalLabels",
    "Evidence",
    "FinetuneGain",
    "FinetuneGains",
    "FinetuneSettings",
    "HeldOut",
    "Hyperparameters",
    "Interval",
    "LabelBatch",
    "LabelNext",
    "LabellingRound",
    "ModelAnswer",
    "NoFinetuning",
    "ProbeSettings",
    "RankedView",
    "ScreenedView",
    "Settings",
    "SuspectLabel",
    "UnsafeModel",
    "UntriedBasis",
    "UntriedEncoder",
    "UntriedReliability",
    "ViewName",
]
