import numpy as np
import pytest

from meta.answering.warnings import scarce_class_warnings, unseen_encoder_warnings
from meta.given.prepare import PreparedSamples
from meta.given.sample import EvalSample, LabelledSample

LEARNT = ("hf:all-MiniLM-L6-v2", "lsa:256", "static:glove.txt")


def test_an_encoder_that_was_not_learnt_from_is_told_with_what_it_was_measured_to_cost():
    errors = {
        "1x": {"seen": 2.0, "unseen": 2.55, "unseen_held": 0.85},
        "4x": {"seen": 3.0, "unseen": 3.5, "unseen_held": 0.87},
        "16x": {"seen": 3.0, "unseen": 9.9, "unseen_held": 0.2},
    }
    (said,) = unseen_encoder_warnings(
        ["hf:somebody/else", "hf:/a/folder/all-MiniLM-L6-v2", "lsa:64"], LEARNT, errors
    )
    assert said.startswith("hf:somebody/else was not among the encoders")
    assert "2.5 instead of 2.0 points at 1x, where 90 % intervals held 85%; 3.5" in said
    assert "9.9" not in said
    assert unseen_encoder_warnings(["lsa:64", "static:other.txt"], LEARNT, errors) == []
    assert "measured" not in unseen_encoder_warnings(["hf:a", "hf:b"], LEARNT, {})[0]
    assert unseen_encoder_warnings(["hf:a"], (), errors) == [], "nothing is known of the metamodel"


def rows_around(centres: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    noise = 0.1 * np.random.default_rng(seed).standard_normal((len(labels), centres.shape[1]))
    return (centres[labels] + noise).astype(np.float32)


@pytest.mark.parametrize(
    ("n_rows", "share", "is_told"), [(2, 0.4, True), (2, 0.03, False), (9, 0.4, False)]
)
def test_a_scarce_class_that_is_common_in_the_evaluation_sample_is_told(n_rows, share, is_told):
    labels = np.repeat([0, 1, 2], [30, 30, n_rows])
    eval_labels = np.random.default_rng(1).choice(3, 300, p=[(1 - share) / 2] * 2 + [share])
    centres = np.eye(3, 8)
    prepared = PreparedSamples(
        LabelledSample(tuple(map(str, range(len(labels)))), labels, ("a", "b", "refund")),
        EvalSample(tuple(f"e{i}" for i in range(300))),
        (),
        (),
        len(labels),
    )
    told = scarce_class_warnings(
        prepared, rows_around(centres, labels, 2), rows_around(centres, eval_labels, 3)
    )
    assert len(told) == is_told
    if is_told:
        assert told[0].startswith("class 'refund' has 2 of the 62 labelled rows, but about 4")
    without = scarce_class_warnings(prepared, rows_around(centres, labels, 2), np.empty((0, 8)))
    assert without == []
