"""What the study's part of the page says of its encoders."""

import pytest

from meta.report.study_data import DepthCurve, EncoderSummary, LearningCurve, MeasuredPoint
from meta.report.study_view import EncoderMeans, depth_words, encoder_means


def test_encoder_means_count_wins_on_shared_sizes():
    def curve(task: str, encoder: str, *values: float) -> LearningCurve:
        points = tuple(
            MeasuredPoint(n_train=size, mean=value)
            for size, value in zip((16, 32, 64), values, strict=False)
        )
        return LearningCurve(task=task, encoder=encoder, points=points)

    table = encoder_means(
        [
            curve("t", "a", 0.5, 0.6),
            curve("t", "b", 0.4, 0.7, 0.9),
            curve("u", "a", 0.5, 0.8),
            curve("u", "b", 0.2, 0.3),
        ]
    )
    assert table.sizes == [16, 32]
    assert [(row.name, row.means[-1], row.wins) for row in table.rows] == [
        ("a", pytest.approx(0.7), 1),
        ("b", 0.5, 1),
    ]
    assert encoder_means([]) == EncoderMeans(sizes=[], rows=[])


def test_layers_that_were_left_out_are_named():
    control = EncoderSummary(name="random:deep", n_layers=4)
    some = DepthCurve(encoder="random:deep", n_train=512, layers=(2, 4), values=(0.4, 0.5))
    assert (
        depth_words(some, control) == "Of random:deep, which has 4 layers, only 2 and 4 were read."
    )
    every = DepthCurve(
        encoder="random:deep", n_train=512, layers=(0, 1, 2, 3, 4), values=(0.4,) * 5
    )
    assert depth_words(every, control) == depth_words(some, None) == ""
