import pytest

from meta.report.svg import inline


def test_inline_touches_tags_only():
    svg = (
        '<?xml?><svg viewBox="0 0 10 20"><metadata>m</metadata><g><text style="fill:'
        ' #00fd01">#00fd01 1.23456</text></g></svg>'
    )
    html = str(inline(svg, "a <b>"))
    assert html.startswith('<svg class="plot" role="img" viewBox="0 0 10 20"')
    assert "<title>a &lt;b&gt;</title>" in html
    assert 'style="fill: var(--ink)">#00fd01 1.23456</text>' in html
    assert "metadata" not in html
    with pytest.raises(ValueError, match="viewBox"):
        inline("<svg></svg>", "x")
