"""What becomes of near-copies in a user's samples, and what is said of them."""

import numpy as np
import pytest

from cluster.storage import UserError
from meta.given.prepare import PreparedSamples, prepare
from meta.given.sample import NOT_LABELLED, EvalSample, LabelledSample
from tests.made_words import made_words


def story(number: int, copy: int = 0) -> str:
    return f"Ticket {copy}: {made_words(number, 6)} (closed on {copy + 1}.3.2024)"


def prepared(
    rows: list[tuple[int, int, int]],
    evaluation: EvalSample | None = None,
    groups: list[int] | None = None,
) -> PreparedSamples:
    """The samples of labelled `rows`: number of the story, of the copy, of the label."""
    texts = tuple(story(number, copy) for number, copy, _ in rows)
    labels = np.array([label for *_, label in rows])
    sample = LabelledSample(
        texts, labels, ("no", "yes"), groups=None if groups is None else np.array(groups)
    )
    return prepare(sample, evaluation)


ROWS = [(number, copy, number % 2) for number in range(8) for copy in range(3)]


def test_a_template_counts_once_and_an_example_is_shown():
    found = prepared(ROWS)
    assert len(found.train) == 8 and found.train.groups is None and not found.conflicts
    assert found.train.positions.tolist() == list(range(0, 24, 3))
    (told,) = [warning for warning in found.warnings if "near-cop" in warning]
    assert told.startswith("16 labelled rows are near-copies") and "\n" not in told
    assert "rows 1 and 2: 'Ticket 0:" in told and "8 of 24 rows" in told


def test_different_rows_are_left_as_they_are():
    rows = [(number, 0, number % 2) for number in range(12)]
    found = prepared(rows, EvalSample(tuple(story(100 + i) for i in range(60))))
    assert len(found.train) == 12 and len(found.evaluation) == 60
    assert found.train.groups is None and found.warnings == ()


def test_a_label_that_its_copies_do_not_have_is_suspected_and_both_stay_one_group():
    rows = [*ROWS, (0, 7, 1)]
    found = prepared(rows)
    assert len(found.train) == 9 and sorted(found.train.positions.tolist())[-1] == 24
    groups = dict(zip(found.train.positions.tolist(), found.train.groups.tolist(), strict=True))
    assert groups[0] == groups[24] and len(set(groups.values())) == 8
    (conflict,) = found.conflicts
    assert (conflict.row, conflict.given, conflict.other) == (24, "yes", "no")
    assert conflict.share_given == 0.25 and not conflict.is_same_text
    assert any("in 1 group of them labels differ: see suspect_labels" in w for w in found.warnings)
    assert any("once for each label, so 9 of 25 rows are used" in w for w in found.warnings)


def test_where_labels_of_copies_differ_all_the_time_none_is_suspected():
    rows = [(number, copy, copy % 2) for number in range(20) for copy in range(3)]
    found = prepared(rows)
    assert len(found.train) == 60 and len(set(found.train.groups.tolist())) == 20
    assert not found.conflicts
    assert any("labels differ in 20 of 20 groups of them" in w for w in found.warnings)


def test_copies_of_labelled_rows_leave_the_evaluation_sample():
    new = [story(100 + i) for i in range(60)]
    evaluation = EvalSample((story(3, 9), *new, story(120, 5), story(4, 8)))
    found = prepared(ROWS, evaluation)
    assert found.evaluation.texts == tuple(new)
    told = "\n".join(found.warnings)
    assert "2 of 63 evaluation rows are near-copies of labelled rows, as row 1: 'Ticket 9" in told
    assert "easier than new texts" in told
    assert "1 evaluation row is a near-copy of another, as row 22" in told


def test_of_evaluation_copies_the_labelled_one_is_kept():
    texts = (*(story(100 + i) for i in range(60)), story(100, 4))
    labels = np.array([NOT_LABELLED, *[0] * 59, 1])
    found = prepared(ROWS, EvalSample(texts, labels=labels))
    assert len(found.evaluation) == 60 and found.evaluation.positions[-1] == 60
    assert found.evaluation.labels.tolist() == [0] * 59 + [1]


def test_an_evaluation_of_copies_alone_is_not_used():
    found = prepared(ROWS, EvalSample(tuple(story(i, 9) for i in range(8))))
    assert len(found.evaluation) == 0
    assert any("8 of 8 evaluation rows are near-copies" in w for w in found.warnings)


def test_too_few_texts_behind_the_copies():
    with pytest.raises(UserError, match=r"^--train: the 9 rows are near-copies of 3 texts"):
        prepared([(number, copy, number % 2) for number in range(3) for copy in range(3)])
    with pytest.raises(UserError, match=r"near-copies of 3 texts"):
        prepared([(number, copy, copy % 2) for number in range(3) for copy in range(3)])


def test_rows_of_a_users_group_stay_and_copies_tie_groups_together():
    rows = [(number, 0, number % 2) for number in range(40)] + [(0, 5, 1), (1, 5, 1)]
    groups = [number // 4 for number in range(40)] + [3, 3]
    found = prepared(rows, groups=groups)
    assert len(found.train) == 41  # row 41 is a copy with the same label
    of_row = dict(zip(found.train.positions.tolist(), found.train.groups.tolist(), strict=True))
    assert of_row[0] == of_row[3] == of_row[40] == of_row[12]
    assert len(set(of_row.values())) == 9


def test_evaluation_rows_of_known_groups_are_left_out():
    evaluation = EvalSample(
        tuple(story(100 + i) for i in range(70)), groups=np.array([0] * 5 + [-1] * 65)
    )
    found = prepared(ROWS, evaluation, groups=[number % 5 for number, *_ in ROWS])
    assert len(found.evaluation) == 65
    assert any("5 of 70 evaluation rows are of groups that" in w for w in found.warnings)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([i % 3 for i in range(8)], "3 groups in 8 labelled rows; at least 4"),
        ([0, 1, 2, 3, 0, 1, 2, 3], None),
    ],
)
def test_few_groups(groups: list[int], message: str | None):
    rows = [(number, 0, number % 2) for number in range(8)]
    if message is None:
        assert prepared(rows, groups=groups).train.groups is not None
        return
    with pytest.raises(UserError, match=message):
        prepared(rows, groups=groups)


def test_a_class_in_each_group_leaves_nothing_to_learn_from():
    texts = tuple(story(number) for number in range(12))
    labels = np.arange(12) // 3
    with pytest.raises(UserError, match="every class has its rows in a single group"):
        prepare(LabelledSample(texts, labels, tuple("abcd"), groups=labels), None)
