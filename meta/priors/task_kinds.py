"""Which kind of task a sample is of: sentiment, toxicity, topic, intent, or another one.

The published results of encoders are of tasks of these kinds, and an encoder that is good at one
kind is not always good at another. Nobody tells the kind of a sample. The names of its labels tell
it often, and its texts tell it sometimes. The probabilities come from a softmax regression on a few
statistics of both. `python -m benchmarks.task_kinds --write` fits it to public tasks.
"""

import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np
from scipy.special import softmax

from meta.priors.encoders import OTHER_KIND

KINDS = ("sentiment", "toxicity", "topic", "intent", OTHER_KIND)
"""Emotions count as sentiment, hate and offence as toxicity."""
FILE = "task_kinds.json"
MAX_TEXTS = 500
"""This many texts are looked at, and `MAX_CHARACTERS` of each."""
MAX_CHARACTERS = 1000
TELLING_LABELS = 0.5
"""Where at least this share of the labels has a word of one kind, the texts are not asked."""
_LABEL_WORDS = {
    "sentiment": (
        "positive negative pos neg neutral mixed joy joyful anger angry sad sadness fear love"
        " surprise happy happiness disgust optimism sentiment emotion favorable unfavorable star"
        " stars excellent terrible satisfied dissatisfied pro con liked disliked"
    ),
    "toxicity": (
        "toxic hate hateful nohate offensive abusive abuse insult profanity harassment threat"
        " racism racist sexism sexist offence obscene hatespeech clean"
    ),
    "topic": (
        "sport sports business politics political world technology tech science health"
        " entertainment economy finance culture education travel religion news international"
        " medicine law arts history computer music food environment society weather"
        " physics mathematics biology hardware software"
    ),
}
_TEXT_WORDS = {
    "sentiment": (
        "good great best love loved like nice excellent amazing awesome bad worst terrible awful"
        " boring poor hate disappointed disappointing happy sad angry feel feeling fun funny"
        " beautiful perfect horrible enjoy enjoyed recommend wonderful annoying"
    ),
    "toxicity": (
        "fuck fucking shit bitch bitches ass asshole idiot idiots stupid dumb moron scum trash hate"
        " racist damn hell ugly disgusting pathetic liar"
    ),
    "person": "i me my you your we our us im i'm",
    "request": (
        "what how when where which who why can could do does is please show set play tell find give"
        " add book want need remind turn cancel change check"
    ),
}
FEATURES = (
    "sentiment_labels",
    "toxicity_labels",
    "topic_labels",
    "composed_labels",
    "unnamed_labels",
    "log2_classes",
    "log2_words",
    "sentiment_words",
    "toxicity_words",
    "person_words",
    "requests",
)
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_PARTS = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![^\W\d_A-Z])")


def kind_probabilities(texts: Sequence[str], label_names: Sequence[str]) -> dict[str, float]:
    """How probable it is that a task with these texts and labels is of each of `KINDS`; the sum is
    1. For a task on single texts."""
    model = _shipped()
    standardised = (kind_features(texts, label_names) - model["mean"]) / model["sd"]
    shares = softmax(model["coefficients"] @ standardised + model["intercepts"])
    return dict(zip(KINDS, shares.tolist(), strict=True))


def kind_features(texts: Sequence[str], label_names: Sequence[str]) -> np.ndarray:
    """(len(FEATURES),) statistics of the names of the labels and of the texts."""
    parts = [[part.casefold() for part in _PARTS.findall(name)] for name in label_names]
    n_unnamed = sum(not any(len(part) > 1 for part in name) for name in parts)
    read = [_WORD.findall(text[:MAX_CHARACTERS].casefold()) for text in texts[:MAX_TEXTS]]
    by_labels = [
        float(np.mean([bool(_words(listed) & set(name)) for name in parts]))
        for listed in _LABEL_WORDS.values()
    ]
    # names that tell the kind tell it better than any text
    by_texts = [0.0] * 4 if max(by_labels) >= TELLING_LABELS else _rates(read)
    return np.array(
        [
            *by_labels,
            np.mean([len(name) > 1 for name in parts]),
            n_unnamed / len(parts),
            np.log2(len(parts)),
            np.log2(1 + np.mean([len(text) for text in read])) if read else 0.0,
            *by_texts,
        ]
    )


def _rates(read: list[list[str]]) -> list[float]:
    """How frequent the words of each list are in texts, as the square root, so that rare ones
    count; and the share of texts that begin like a request."""
    words = [word for text in read for word in text]
    first = [text[0] for text in read if text]
    rates = [
        float(
            np.sqrt(sum(word in _words(_TEXT_WORDS[kind]) for word in words) / max(len(words), 1))
        )
        for kind in ("sentiment", "toxicity", "person")
    ]
    is_request = [word in _words(_TEXT_WORDS["request"]) for word in first]
    return [*rates, sum(is_request) / max(len(first), 1)]


@cache
def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


@cache
def _shipped() -> dict[str, np.ndarray]:
    stored = json.loads((files("meta") / FILE).read_text(encoding="utf-8"))
    return {name: np.array(stored[name]) for name in ("mean", "sd", "coefficients", "intercepts")}
