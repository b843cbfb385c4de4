"""Values in words."""

from meta.metric import Metric
from meta.report.page import whole_names
from meta.report.svg import short_count
from meta.report.wording import (
    display_name,
    duration,
    number,
    parameters,
    percent,
    rate,
    rows_between,
)


def test_wording_of_numbers():
    assert rate(0.8417) == "84.2\u00a0%"
    assert rate(0.5, Metric.LOG_LOSS) == "0.500"
    assert rate(None) == rate(float("nan")) == "–"
    assert (percent(0.0), percent(0.004), percent(0.61), percent(0.9991), percent(1.0)) == (
        "0\u00a0%",
        "under 1\u00a0%",
        "61\u00a0%",
        "over 99\u00a0%",
        "100\u00a0%",
    )
    assert (duration(0.4), duration(48.2), duration(59.99), duration(200), duration(7500)) == (
        "0.4 s",
        "48 s",
        "60 s",
        "3 min 20 s",
        "2 h 05 min",
    )
    assert (number(4.5e-5), number(20), number(0.1), number(True), number("ridge")) == (
        "4.5e-5",
        "20",
        "0.1",
        "True",
        "ridge",
    )
    assert (parameters(22_700_000), parameters(850_000), parameters(None)) == (
        "22.7 million",
        "850 thousand",
        "–",
    )
    assert rows_between(None, None, 3200) == "more than 3,200"
    assert (short_count(9600), short_count(12_800), short_count(2_500_000)) == (
        "9,600",
        "12.8k",
        "2.5M",
    )


def test_display_name_hides_folders():
    assert display_name("neoberta:/data/out/checkpoints/3f2a", {}) == "neoberta:3f2a"
    assert display_name("hf:org/name", {}) == "hf:org/name"
    assert display_name("neoberta:/x/y/z", {"neoberta:/x/y/z": "deep"}) == "deep"


def test_names_do_not_end_a_line_and_stay_text():
    html = whole_names(
        "About 578\u00a0rows with hf:all-MiniLM-L6-v2, at 3e-5, one-off <i>&</i> <b>a/1</b>"
    )
    assert (
        '<span class="whole">hf:all-MiniLM-L6-v2,</span> at <span class="whole">3e-5,</span>'
        " one-off &lt;i&gt;&amp;&lt;/i&gt; <" in html
    )
    assert html.endswith('<span class="whole">&lt;b&gt;a/1&lt;/b&gt;</span>') and html.startswith(
        "About 578\u00a0rows with "
    )
