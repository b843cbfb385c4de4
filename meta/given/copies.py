"""Near-copies in a user's samples count once, as repeated rows do.

A near-copy of a row (`meta.given.near_copies`) is nearly the same row: with the row in the training
rows, it is predicted rightly, whatever its label. One row is kept of each group of near-copies, or
one for each label where near-copies have several. These stay one group, which is held out together.
Where labels differ often, all rows stay as groups.
So all that follows sees independent rows, and n counts them. Evaluation rows that are near-copies
of labelled rows are dropped, since the classifier would know them.
"""

from collections import Counter

import numpy as np

from cluster.storage import UserError
from meta.given.conflicts import Conflict
from meta.given.near_copies import groups_of, near_copy_pairs
from meta.given.sample import NOT_LABELLED, EvalSample, LabelledSample

MIN_GROUPS = 4
"""With fewer groups nothing is held out by groups."""
MAX_CONFLICTS, MAX_CONFLICT_SHARE = 10, 0.2
"""Where labels differ in more groups of near-copies than this, and in more than this share of them,
what differs between the copies decides the label (marks around words, a negation). Then no row is
dropped, and no label suspected."""


def too_few_texts(n_rows: int, n_texts: int) -> UserError:
    """What is raised where `n_rows` labelled rows are near-copies of too few texts."""
    return UserError(
        f"--train: the {n_rows} rows are near-copies of {n_texts} texts (equal but for numbers,"
        " names, links or a few words), too few to learn from; add rows with other texts"
    )


def count_copies_once(
    train: LabelledSample, evaluation: EvalSample | None, warnings: list[str]
) -> tuple[LabelledSample, EvalSample | None, list[Conflict]]:
    """Both samples with near-copies counted once, and the labelled rows whose near-copies mostly
    have another label. Adds to `warnings`. Samples without near-copies are returned as they are."""
    texts, seconds = list(train.texts), train.text_pair
    if evaluation is not None:
        texts += evaluation.texts
        if seconds is not None and evaluation.text_pair is not None:
            seconds = (*seconds, *evaluation.text_pair)
    pairs = near_copy_pairs(texts, seconds)
    if not len(pairs):
        return train, evaluation, []
    groups = groups_of(len(texts), pairs)
    if evaluation is not None:
        evaluation = _fresh_evaluation(train, evaluation, groups, pairs, warnings)
    among = pairs[pairs[:, 1] < len(train)]
    if not len(among):
        return train, evaluation, []
    groups = groups_of(len(train), among)
    conflicts, n_differ = _conflicts(train, groups)
    n_groups, n_kept = int(np.sum(np.bincount(groups) > 1)), len(np.unique(groups))
    one, other = (int(train.positions[row]) + 1 for row in among[0])
    n_more = len(train) - n_kept
    are = (
        "1 labelled row is a near-copy"
        if n_more == 1
        else f"{n_more} labelled rows are near-copies"
    )
    told = (
        f"{are} of another (equal but for numbers, names, links or a few words, as rows {one} and"
        f" {other}: {_short(train.texts[among[0][0]])}): "
    )
    if n_differ > max(MAX_CONFLICTS, MAX_CONFLICT_SHARE * n_groups):
        warnings.append(
            f"{told}labels differ in {n_differ} of {n_groups} groups of them, so what differs seems"
            " to decide the label; all rows stay, and near-copies are held out together"
        )
        return _with_groups(train, np.arange(len(train)), groups), evaluation, []
    differ = (
        f"; in {_counted(n_differ, 'group')} of them labels differ: see suspect_labels"
        if n_differ
        else ""
    )
    if n_kept < MIN_GROUPS:
        raise too_few_texts(len(train), n_kept)
    kept = _first_of_each(groups, train.labels)
    each = "once for each label" if len(kept) > n_kept else "once"
    warnings.append(f"{told}counted {each}, so {len(kept)} of {len(train)} rows are used{differ}")
    return _with_groups(train, kept, groups), evaluation, conflicts


def _fresh_evaluation(
    train: LabelledSample,
    evaluation: EvalSample,
    groups: np.ndarray,
    pairs: np.ndarray,
    warnings: list[str],
) -> EvalSample:
    """`evaluation` without near-copies of labelled rows, and with one row of each of its own groups
    of near-copies: one that has a label, if any has. `groups` (n + m,) and `pairs` (p, 2) are those
    of the labelled rows and the evaluation rows together."""
    n_train = len(train)
    of_eval = groups[n_train:]
    is_known = np.isin(of_eval, groups[:n_train])
    if is_known.any():
        example = int(np.flatnonzero(is_known)[0])
        n_known = int(is_known.sum())
        are = (
            "1 evaluation row is a near-copy"
            if n_known == 1
            else (f"{n_known} of {len(evaluation)} evaluation rows are near-copies")
        )
        warnings.append(
            f"{are} of labelled rows, as row {evaluation.positions[example] + 1}:"
            f" {_short(evaluation.texts[example])}: left out of the evaluation sample; they are"
            " easier than new texts, for which forecasts are made"
        )
    labels = evaluation.labels
    lacks_label = np.zeros(len(evaluation)) if labels is None else labels == NOT_LABELLED
    order = np.lexsort((np.arange(len(evaluation)), lacks_label))
    order = order[~is_known[order]]
    _, first = np.unique(of_eval[order], return_index=True)
    kept = np.sort(order[first])
    n_more = int((~is_known).sum()) - len(kept)
    if n_more:
        fresh = np.flatnonzero(~is_known)
        _, at, counts = np.unique(of_eval[fresh], return_index=True, return_counts=True)
        example = int(fresh[at[counts > 1][0]])
        are = (
            "1 evaluation row is a near-copy"
            if n_more == 1
            else (f"{n_more} evaluation rows are near-copies")
        )
        warnings.append(
            f"{are} of another, as row {evaluation.positions[example] + 1}:"
            f" {_short(evaluation.texts[example])}: counted once"
        )
    return evaluation if len(kept) == len(evaluation) else evaluation.take(kept)


def _conflicts(train: LabelledSample, groups: np.ndarray) -> tuple[list[Conflict], int]:
    """The rows whose near-copies have another label at least as often, and the number of groups
    with several labels. `groups` (n,) are those of near-copies."""
    found, n_groups = [], 0
    for group in np.flatnonzero(np.bincount(groups) > 1):
        rows = np.flatnonzero(groups == group)
        counts = Counter(train.labels[rows].tolist())
        if len(counts) < 2:
            continue
        n_groups += 1
        for row in rows:
            given = int(train.labels[row])
            other = max((label for label in counts if label != given), key=lambda i: counts[i])
            if counts[given] > counts[other]:
                continue
            found.append(
                Conflict(
                    int(train.positions[row]),
                    train.texts[row],
                    train.label_names[given],
                    train.label_names[other],
                    counts[given] / len(rows),
                    is_same_text=False,
                )
            )
    return found, n_groups


def _with_groups(train: LabelledSample, kept: np.ndarray, copies: np.ndarray) -> LabelledSample:
    """The rows `kept` of `train`. Those that are near-copies of each other (`copies` (n,)) are in
    one group; so are those of one of the user's groups."""
    sample = train.take(kept)
    merged = copies[kept]
    if sample.groups is not None:
        rows = np.arange(len(sample))
        links = [
            np.column_stack([rows, first[index]])
            for ids in (merged, sample.groups)
            for _, first, index in [np.unique(ids, return_index=True, return_inverse=True)]
        ]
        merged = groups_of(len(sample), np.concatenate(links))
        if len(np.unique(merged)) < MIN_GROUPS:
            return sample  # near-copies tie the user's groups together
    if not MIN_GROUPS <= len(np.unique(merged)) < len(sample):
        merged = None
    return sample.with_groups(merged)


def _first_of_each(groups: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Ascending positions of the first row of each group and label."""
    first: dict[tuple[int, int], int] = {}
    for row, key in enumerate(zip(groups.tolist(), labels.tolist(), strict=True)):
        first.setdefault(key, row)
    return np.array(sorted(first.values()), dtype=np.int64)


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _short(text: str, n_chars: int = 60) -> str:
    """`text` in quotes, on one line, cut to `n_chars` characters."""
    line = " ".join(text.split())
    return repr(line if len(line) <= n_chars else line[: n_chars - 1] + "…")
