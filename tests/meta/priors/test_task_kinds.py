"""Of which kind a task is, by its labels and texts."""

import numpy as np
import pytest

from meta.priors.task_kinds import FEATURES, KINDS, kind_features, kind_probabilities

PLAIN = ("The committee met on Tuesday to talk about the new bridge over the river.",) * 10
REVIEWS = (
    "I love this phone, it is great and the screen is beautiful.",
    "Terrible battery, I hate it and feel disappointed.",
    "Really good sound, I recommend it, but a bad case.",
) * 5


def likeliest(texts, labels) -> str:
    kinds = kind_probabilities(texts, labels)
    assert sum(kinds.values()) == pytest.approx(1.0) and tuple(kinds) == KINDS
    return max(kinds, key=kinds.get)


def test_the_names_of_the_labels_tell_the_kind():
    assert likeliest(PLAIN, ["negative", "neutral", "positive"]) == "sentiment"
    assert likeliest(PLAIN, ["joy", "anger", "sadness", "fear"]) == "sentiment"
    assert likeliest(PLAIN, ["hateful", "not_hateful"]) == "toxicity"
    assert likeliest(PLAIN, ["business", "politics", "sport", "health", "science"]) == "topic"
    intents = [
        f"{verb}_{thing}"
        for verb in ("get", "set", "cancel", "find")
        for thing in ("alarm", "order", "card", "weather", "ticket", "song", "account")
    ]
    assert likeliest(("please cancel my order", "set an alarm for six") * 5, intents) == "intent"


def test_labels_without_names_leave_it_to_the_texts():
    unnamed = ["0", "1"]
    reviews, plain = (kind_probabilities(texts, unnamed) for texts in (REVIEWS, PLAIN))
    assert reviews["sentiment"] > plain["sentiment"] + 0.1
    named = kind_probabilities(REVIEWS, ["negative", "positive"])
    assert named["sentiment"] > 0.9


def test_any_text_and_label_has_features():
    for texts in ([], [""], ["\x00 😀"], ["как дела"] * 3):
        found = kind_features(texts, ["a", "日本"])
        assert found.shape == (len(FEATURES),) and np.isfinite(found).all()
