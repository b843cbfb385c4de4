import pytest

from meta.answering.q5_model_choice import (
    ModelOption,
    choose_model,
    n_to_tell,
    scaled_milliseconds,
    truncated_parameters,
)
from meta.metric import Metric
from neoberta.config import PretrainConfig
from probes.encoders.base import EncoderInfo, View

BERT = EncoderInfo("hf:bert", "a" * 16, "hf", 12, 768, 109_482_240, 512, (View(12, "mean"),))
TINY = EncoderInfo("hf:tiny", "b" * 16, "hf", 2, 128, 4_385_920, 512, (View(2, "mean"),))
LSA = EncoderInfo("lsa:256", "c" * 16, "lsa", 0, 256, 5_000_000, 10_000, (View(0, "mean"),))


def option(info: EncoderInfo, layer: int, q50: float, ms: float | None = None) -> ModelOption:
    return ModelOption(info, View(layer, "mean"), q50, 0.5, ms)


def test_truncation_of_bert_base_to_six_layers_drops_six_blocks():
    block = (109_482_240 - truncated_parameters(BERT, 6)) / 6
    assert block == pytest.approx(7_087_872, rel=0.001)  # parameters of one BERT-base block
    assert truncated_parameters(BERT, 12) == BERT.n_parameters
    assert truncated_parameters(LSA, 0) == LSA.n_parameters


def test_shared_layers_never_leave_fewer_than_no_parameters():
    albert = EncoderInfo("hf:albert", "d" * 16, "hf", 12, 768, 11_683_584, 512, (View(12, "mean"),))
    assert (
        0
        <= truncated_parameters(albert, 0)
        <= truncated_parameters(albert, 6)
        <= albert.n_parameters
    )


def test_the_shallowest_within_half_a_point_is_chosen():
    spaces = [
        option(BERT, 12, 0.900),
        option(BERT, 9, 0.896),
        option(BERT, 6, 0.8949),
        option(BERT, 3, 0.85),
    ]
    position, answer = choose_model(spaces, Metric.ACCURACY)
    assert position == 1
    assert (answer.layers, answer.metric_q50, answer.best_q50) == (9, 0.896, 0.900)
    assert answer.parameters < BERT.n_parameters
    assert answer.memory_mb == pytest.approx(answer.parameters * 4 / 1e6)
    assert (answer.milliseconds_per_text, answer.milliseconds_source) == (None, "not measured")


def test_measured_time_decides_when_all_are_timed_and_parameters_otherwise():
    fast = option(LSA, 0, 0.9, ms=0.1)
    assert choose_model([option(TINY, 2, 0.9, ms=1.0), fast], Metric.ACCURACY)[0] == 1
    assert choose_model([option(TINY, 2, 0.9), fast], Metric.ACCURACY)[0] == 0


def test_log_loss_is_better_when_lower():
    position, answer = choose_model(
        [option(BERT, 12, 0.300), option(BERT, 6, 0.304), option(TINY, 2, 0.4)],
        Metric.LOG_LOSS,
    )
    assert position == 1
    assert answer.best_q50 == pytest.approx(0.300)


def test_time_is_scaled_by_the_layers_that_are_computed():
    whole = option(BERT, 12, 0.9, ms=10.0)
    half = option(BERT, 6, 0.9, ms=10.0)
    assert scaled_milliseconds(whole) == 10.0
    assert scaled_milliseconds(half) == pytest.approx(10 * 6.5 / 12.5)
    assert choose_model([whole], Metric.ACCURACY)[1].milliseconds_source == "measured"
    assert choose_model([half], Metric.ACCURACY)[1].milliseconds_source == "scaled by depth"


@pytest.mark.parametrize("info, layer", [(BERT, 12), (BERT, 0), (TINY, 1), (LSA, 0)])
def test_the_neoberta_to_train_is_a_valid_configuration(info: EncoderInfo, layer: int):
    answer = choose_model([option(info, layer, 0.9)], Metric.ACCURACY)[1]
    config = PretrainConfig.model_validate(answer.neoberta)
    assert config.model.n_layers >= 2
    assert config.model.hidden_size % 64 == 0
    assert "rule" in answer.neoberta_source


def test_without_an_option_there_is_nothing_to_choose():
    with pytest.raises(ValueError, match="no forecast space"):
        choose_model([], Metric.ACCURACY)


def test_no_smaller_model_is_proposed_on_a_chance_below_one_half():
    info = EncoderInfo("hf:x", "0" * 16, "hf", 6, 384, 22_000_000, 256, ())
    best = ModelOption(info, View(6, "mean"), 0.80, 0.7, 6.0)
    for chance, layer in ((0.46, 6), (0.55, 2)):
        cheap = ModelOption(info, View(2, "mean"), 0.797, chance, 6.0)
        position, model = choose_model([best, cheap], Metric.ACCURACY)
        assert (position, model.layers) == ((0, 6) if layer == 6 else (1, 2))
    _, alone = choose_model([ModelOption(info, View(6, "mean"), 0.8, 0.3, 6.0)], Metric.ACCURACY)
    assert alone.layers == 6, "the best itself needs no chance"


def test_the_rows_to_tell_grow_with_the_doubt_and_end_where_nothing_can_be_told():
    assert n_to_tell(0.02, 0.01, 100) <= 101, "it can be told now"
    four_times = n_to_tell(0.005 + 0.01, 0.02 / 0.8416, 100)
    assert 395 <= four_times <= 405
    assert n_to_tell(0.005, 0.02, 100) is None
