"""Cleaning of a user's samples, so that they are fit to be learnt from.

Repeated rows are counted once: a repeated row would be its own neighbour in leave-one-out. So are
near-copies (`meta.given.copies`). Evaluation rows that are also labelled are dropped. Very many
rows are sampled. A warning tells the user of each of these.
"""

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from cluster.storage import UserError
from meta.given.conflicts import Conflict, same_text_conflicts
from meta.given.copies import MIN_GROUPS, count_copies_once, too_few_texts
from meta.given.sample import EvalSample, LabelledSample, normalised

MIN_TRAIN_ROWS = 4
"""Fewer distinct labelled rows are refused."""
MAX_TRAIN_ROWS = 4096
"""Of more labelled rows a stratified sample of this size is used."""
MIN_IDENTIFIER_CLASSES, MAX_CLASS_SHARE = 5, 0.4
"""The label column looks like an identifier when it has at least this many classes, and more
classes per labelled row than this."""
LEAK_SHARE = 0.8
"""The label counts as written in the text when at least this share of the rows hold their own
label, and at most the remaining share hold another one."""
MAX_EVAL_ROWS = 4096
"""Of more evaluation rows a random sample of this size is used."""
MIN_EVAL_ROWS = 50
"""Fewer evaluation rows are not used for the forecast: the probe's outputs on a dozen rows would
change it by ten points."""


@dataclass(frozen=True)
class PreparedSamples:
    """Both samples after cleaning."""

    train: LabelledSample
    evaluation: EvalSample
    """Without rows where the user gave no evaluation sample."""
    conflicts: tuple[Conflict, ...]
    warnings: tuple[str, ...]
    """What was changed, and what looks wrong."""
    n_train_given: int
    """Number of labelled rows before cleaning."""
    n_eval_labels_given: int = 0
    """Number of evaluation rows with a label before cleaning."""


def prepare(
    train: LabelledSample, evaluation: EvalSample | None, *, seed: int = 0
) -> PreparedSamples:
    """Clean both samples. The same samples and `seed` give the same result.

    Raises UserError where nothing can be learnt: fewer than 2 classes, fewer than `MIN_TRAIN_ROWS`
    distinct rows, a label of its own in every row, texts that are the labels, an evaluation sample
    without rows or only with rows that are also labelled, or second texts in one sample only.
    """
    _check(train)
    n_train_given = len(train)
    n_eval_labels_given = 0 if evaluation is None else int(evaluation.is_labelled.sum())
    warnings: list[str] = []
    leak = _label_in_text(train)
    if leak:
        warnings.append(leak)
    conflicts = same_text_conflicts(train)
    distinct = _first_of_each(
        [(*key, int(label)) for key, label in zip(train.keys, train.labels, strict=True)]
    )
    if len(distinct) < len(train):
        n_more = len(train) - len(distinct)
        repeat = "1 labelled row repeats" if n_more == 1 else f"{n_more} labelled rows repeat"
        warnings.append(f"{repeat} another row and its label: counted once")
        train = train.take(distinct)
    if conflicts:
        n_texts = len({conflict.text for conflict in conflicts})
        occur = "1 labelled text occurs" if n_texts == 1 else f"{n_texts} labelled texts occur"
        warnings.append(f"{occur} with more than one label: see suspect_labels")
    if len(train) > MAX_TRAIN_ROWS:
        warnings.append(
            f"{len(train)} labelled rows: answered from a stratified sample of {MAX_TRAIN_ROWS} of"
            " them, where the curves begin"
        )
        train = train.take(_stratified(train.labels, MAX_TRAIN_ROWS, seed))
    _check(train)
    if evaluation is not None:
        evaluation = _clean_evaluation(train, evaluation, warnings, seed)
    n_distinct = len(train)
    train, evaluation, near = count_copies_once(train, evaluation, warnings)
    known = {conflict.row for conflict in conflicts}
    conflicts += [conflict for conflict in near if conflict.row not in known]
    if len(train) < n_distinct and len(train) < max(MIN_TRAIN_ROWS, len(train.label_names) + 1):
        raise too_few_texts(n_distinct, len(train))
    _check_groups(train)
    n_classes = len(np.unique(train.labels))
    if n_classes >= MIN_IDENTIFIER_CLASSES and n_classes > MAX_CLASS_SHARE * len(train):
        warnings.append(
            f"{n_classes} different labels in {len(train)} rows: most classes have a row or two,"
            " and those that the sample lacks are never found; if the label column is an"
            " identifier or a number, choose another with --label-column"
        )
    if evaluation is None:
        warnings.append(
            "no evaluation sample: forecasts assume rows like the labelled ones; there is nothing"
            " to label next"
        )
        evaluation = EvalSample(())
    else:
        evaluation = _of_new_groups(evaluation, warnings)
        _warn_of_few(evaluation, warnings)
    return PreparedSamples(
        train, evaluation, tuple(conflicts), tuple(warnings), n_train_given, n_eval_labels_given
    )


def _clean_evaluation(
    train: LabelledSample, evaluation: EvalSample, warnings: list[str], seed: int
) -> EvalSample:
    """`evaluation` without rows that are in `train` and without repeated rows, and at most
    `MAX_EVAL_ROWS` of them. Adds to `warnings`."""
    if len(evaluation) == 0:
        raise UserError("--eval: no rows; give unlabelled rows, or leave --eval out")
    if (train.text_pair is None) != (evaluation.text_pair is None):
        lacking, other = ("--train", "--eval") if train.text_pair is None else ("--eval", "--train")
        raise UserError(
            f"{lacking}: no column with second texts, which {other} has (a column text_pair counts"
            " as one); both files need it, or neither"
        )
    labelled = set(train.keys)
    fresh = np.array([key not in labelled for key in evaluation.keys])
    if not fresh.any():
        raise UserError(
            "--eval: every row is also a labelled row; give rows that the classifier has not been"
            " trained on"
        )
    if not fresh.all():
        n_known = int((~fresh).sum())
        are = "1 evaluation row is" if n_known == 1 else f"{n_known} evaluation rows are"
        warnings.append(f"{are} also among the labelled rows: left out of the evaluation sample")
        evaluation = evaluation.take(np.flatnonzero(fresh))
    distinct = _first_of_each(evaluation.keys, evaluation.is_labelled)
    if len(distinct) < len(evaluation):
        n_more = len(evaluation) - len(distinct)
        repeat = "1 evaluation row repeats" if n_more == 1 else f"{n_more} evaluation rows repeat"
        warnings.append(f"{repeat} another: counted once")
        evaluation = evaluation.take(distinct)
    if len(evaluation) > MAX_EVAL_ROWS:
        chosen = _random_rows(evaluation.is_labelled, MAX_EVAL_ROWS, seed)
        n_labelled = int(evaluation.is_labelled.sum())
        n_kept = int(evaluation.is_labelled[chosen].sum())
        of_labelled = ""
        if n_kept < n_labelled:
            of_labelled = f"; {n_kept} of the {n_labelled} labelled ones are used"
        elif n_labelled:
            of_labelled = f", among them all {n_labelled} with a label"
        warnings.append(
            f"{len(evaluation)} evaluation rows: answered from a random sample of {MAX_EVAL_ROWS}"
            f" of them{of_labelled}"
        )
        evaluation = evaluation.take(chosen)
    return evaluation


def _of_new_groups(evaluation: EvalSample, warnings: list[str]) -> EvalSample:
    """`evaluation` without the rows of groups that have labelled rows. Adds to `warnings`."""
    if evaluation.groups is None:
        return evaluation
    is_new = evaluation.groups < 0
    if is_new.all():
        return evaluation
    warnings.append(
        f"{int((~is_new).sum())} of {len(evaluation)} evaluation rows are of groups that have"
        " labelled rows: left out of the evaluation sample, since forecasts are for new groups"
    )
    return evaluation.take(np.flatnonzero(is_new))


def _warn_of_few(evaluation: EvalSample, warnings: list[str]) -> None:
    """Adds to `warnings` where there are too few evaluation rows for the forecast."""
    if len(evaluation) < MIN_EVAL_ROWS:
        rows = {0: "no evaluation row is left", 1: "only 1 evaluation row"}.get(
            len(evaluation), f"only {len(evaluation)} evaluation rows"
        )
        warnings.append(
            f"{rows}: forecasts assume rows like the labelled ones; give {MIN_EVAL_ROWS} or more"
        )


def _check(train: LabelledSample) -> None:
    """Raises UserError where nothing can be learnt from `train`."""
    n_classes = len(np.unique(train.labels))
    if n_classes < 2:
        raise UserError(
            f"--train: {n_classes} class in {len(train)} rows; at least 2 classes are needed"
        )
    if len(train) < MIN_TRAIN_ROWS:
        raise UserError(
            f"--train: {len(train)} distinct rows; at least {MIN_TRAIN_ROWS} are needed"
        )
    if n_classes == len(train):
        raise UserError(
            f"--train: every one of the {len(train)} rows has a label of its own, so nothing can be"
            " learnt; is the label column an identifier? choose another with --label-column"
        )


def _check_groups(train: LabelledSample) -> None:
    """Raises UserError where whole groups cannot be left out of `train`."""
    if train.groups is None:
        return
    n_groups = len(np.unique(train.groups))
    if n_groups < MIN_GROUPS:
        raise UserError(
            f"--group-column: {n_groups} groups in {len(train)} labelled rows; at least"
            f" {MIN_GROUPS} are needed, so that groups can be left out; name another column"
        )
    in_groups = {(int(y), int(group)) for y, group in zip(train.labels, train.groups, strict=True)}
    if len(in_groups) == len(np.unique(train.labels)):
        raise UserError(
            f"--group-column: every class has its rows in a single group ({n_groups} groups), so a"
            " group that is left out has a class that no other group has; name another column"
        )


def _label_in_text(train: LabelledSample) -> str | None:
    """A warning where most texts hold the name of their own label and few hold another one: then
    the forecasts measure only that. None otherwise. Raises UserError where the text is the
    label."""
    names = [normalised(name) for name in train.label_names]
    texts = [normalised(text) for text in train.texts]
    n_same = sum(text == names[label] for text, label in zip(texts, train.labels, strict=True))
    if n_same >= LEAK_SHARE * len(train):
        raise UserError(
            f"--train: the text is the label itself in {n_same} of {len(train)} rows; "
            "name the column of the text with --text-column"
        )
    patterns = [re.compile(rf"(?<!\w){re.escape(name)}(?!\w)") for name in names]
    own = np.array(
        [
            bool(patterns[label].search(text))
            for text, label in zip(texts, train.labels, strict=True)
        ]
    )
    other = [
        bool(patterns[(label + 1) % len(names)].search(text))
        for text, label in zip(texts, train.labels, strict=True)
    ]
    if own.mean() < LEAK_SHARE or np.mean(other) > 1 - LEAK_SHARE:
        return None
    return (
        f"the label is written in the text of {own.mean():.0%} of the labelled rows: unless the"
        " texts to come hold it too, no forecast here holds for them; take it out"
    )


def _stratified(labels: np.ndarray, n_rows: int, seed: int) -> np.ndarray:
    """Sorted indices (int64) of about `n_rows` rows: every class in proportion, with at least one
    row of each."""
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(labels)), labels))
    evenly = order[np.linspace(0, len(order) - 1, n_rows).round().astype(np.int64)]
    missing = np.setdiff1d(labels, labels[evenly])
    extra = [int(np.flatnonzero(labels == label)[0]) for label in missing]
    return np.unique(np.concatenate([evenly, np.array(extra, dtype=np.int64)]))


def _random_rows(is_labelled: np.ndarray, n_rows: int, seed: int) -> np.ndarray:
    """Sorted positions (int64) of `n_rows` random rows. Labelled rows come first, because a label
    that the user paid for must not be thrown away: rows without a label only fill the rest."""
    order = np.random.default_rng(seed).permutation(len(is_labelled))
    labelled_first = np.concatenate([order[is_labelled[order]], order[~is_labelled[order]]])
    return np.sort(labelled_first[:n_rows])


def _first_of_each(keys: Sequence[Hashable], is_labelled: np.ndarray | None = None) -> np.ndarray:
    """The position (int64) of the first occurrence of each distinct key, ascending. Where
    `is_labelled` (m,) bool is given, it is the first one with a label, if any has one."""
    first: dict[Hashable, int] = {}
    for row, key in enumerate(keys):
        known = first.setdefault(key, row)
        if is_labelled is not None and is_labelled[row] and not is_labelled[known]:
            first[key] = row
    return np.array(sorted(first.values()), dtype=np.int64)
