"""Pictures as inline SVG that belongs to its page: colours are the page's CSS variables (light,
dark, print), text stays text.

Figures are drawn with sentinel colours that no one else uses; after drawing, each becomes
`var(--name)`. Only tags are rewritten, never the text between them, which matplotlib has escaped.
Pyplot is not used, and settings are those of `canvas` only inside its block.
"""

import hashlib
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.typing import RcKeyType

from meta.metric import Metric
from meta.report.wording import printable

INK, MUTED, GRID, SURFACE, GOOD = "#00fd01", "#00fd02", "#00fd03", "#00fd04", "#00fd05"
"""Text, secondary text, grid lines, the paper, and the colour of what was measured."""
SERIES = tuple(f"#00fe{position:02x}" for position in range(1, 9))
"""Eight series colours that colour-blind readers tell apart (after Okabe and Ito); always beside a
marker or a label."""
WIDE = 390
"""Pictures at least this wide get larger letters on a phone."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MARKS = ("●", "■", "▲", "◆", "▼", "✚", "✖", "★")
"""The markers as letters, for keys outside the pictures."""
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-",
    (0, (5, 2)),
    (0, (1.5, 1.5)),
    (0, (7, 2, 1.5, 2)),
)

_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    SURFACE: "--paper",
    GOOD: "--measured",
} | {colour: f"--s{position}" for position, colour in enumerate(SERIES, start=1)}
_STYLE: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True)
class KeyEntry:
    """One line of a picture's key."""

    css: str
    """The style sheet's class of the colour."""
    mark: str
    label: str


def key_entry(position: int, label: str, mark: str | None = None) -> KeyEntry:
    """An entry of a key: colour and marker of the series by number, or a given mark in the same
    colour. An untrained encoder is called untrained."""
    untrained = " (untrained)" if label.startswith("random:") else ""
    return KeyEntry(
        css=f"c{position % 8 + 1}", mark=mark or MARKS[position % 8], label=label + untrained
    )


class Picture:
    """A figure under way; `axes` is its only pair of axes. `html` is there once the `canvas` block
    has ended."""

    def __init__(self, figure: Figure, axes: Axes):
        self.figure = figure
        self.axes = axes
        self.html = Markup("")


@contextmanager
def canvas(
    alt: str,
    width: float,
    height: float,
    *,
    left: float = 40,
    right: float = 10,
    top: float = 24,
    bottom: float = 36,
) -> Iterator[Picture]:
    """Draw on `axes` inside the block; sizes are CSS pixels of the drawing at its natural scale,
    margins included. `alt` says in words what the picture shows."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        FigureCanvasSVG(figure)
        box = (
            left / width,
            bottom / height,
            (width - left - right) / width,
            (height - top - bottom) / height,
        )
        picture = Picture(figure, figure.add_axes(box))
        yield picture
        file = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="Glyph .* missing"
            )  # letters are drawn by the browser's fonts
            figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    picture.html = inline(file.getvalue().decode(errors="replace"), alt)


def inline(svg: str, alt: str) -> Markup:
    """A matplotlib SVG document as an element of an HTML page: no prolog, metadata, style sheet or
    address; ids that no other picture of the page has; colours by CSS variables."""
    svg, alt = printable(svg), printable(alt)
    svg = re.sub(
        r"<metadata>.*?</metadata>|<style\b.*?</style>",
        "",
        svg[svg.index("<svg") :],
        flags=re.DOTALL,
    )
    prefix = "p" + hashlib.sha256(f"{alt}\n{svg}".encode()).hexdigest()[:8]
    svg = re.sub(r"<[^>]+>", lambda match: _tag(match.group(), prefix), svg)
    svg = re.sub(r">\s+<", "><", svg.replace("<defs></defs>", ""))
    match = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    if match is None:
        raise ValueError("an SVG document without a viewBox")
    width, height = (float(value) for value in match.groups())
    kind = "plot wide" if width >= WIDE else "plot"
    head = (
        f'<svg class="{kind}" role="img" viewBox="0 0 {width:g} {height:g}"'
        f' style="max-width:{1.4 * width:g}px">'
    )
    return Markup(f"{head}<title>{escape(alt)}</title>" + svg[svg.index(">") + 1 :].strip())


def _tag(tag: str, prefix: str) -> str:
    if tag.startswith("<g id=") and "clip-path" not in tag:
        return (
            "" if tag.endswith("/>") else "<g>"
        )  # matplotlib names every group; nothing refers to them
    tag = re.sub(r' transform="rotate\(-?0 [^"]*\)"', "", tag)
    tag = re.sub(r" font-family: [^;\"]*;", "", tag)
    tag = re.sub(r'\bid="', f'id="{prefix}', tag)
    tag = (
        tag.replace("xlink:href=", "href=")
        .replace('href="#', f'href="#{prefix}')
        .replace("url(#", f"url(#{prefix}")
    )
    tag = re.sub(r"#00f[de][0-9a-f]{2}", lambda match: f"var({_VARIABLES[match.group()]})", tag)
    return re.sub(r"(\d+\.\d{2})\d+", r"\1", re.sub(r"\s+", " ", tag))


def percent_axis(axis_of: Axes, which: str = "y") -> None:
    """Ticks of an axis of fractions at round percentages."""
    axis = axis_of.yaxis if which == "y" else axis_of.xaxis
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 2):g}"))


def metric_axis(picture: Picture, metric: Metric, *, label: bool = True) -> None:
    """The metric upwards, rates in percent."""
    if metric.is_rate:
        percent_axis(picture.axes)
    if label:
        title_above(picture, metric_label(metric))


def title_above(picture: Picture, title: str) -> None:
    """The name of the upward axis above it, where nobody has to read it sideways."""
    picture.axes.set_title(title, fontsize=9.5, fontweight="normal", color=MUTED, pad=8, x=0.0)


def metric_label(metric: Metric) -> str:
    """The metric with its unit, beside an axis."""
    return metric.words + (", %" if metric.is_rate else "")


def size_axis(axes: Axes, sizes: list[int], *, max_ticks: int = 6) -> None:
    """A logarithmic x axis of row counts with ticks at (some of) `sizes`, written out."""
    axes.set_xscale("log")
    shown = sorted(set(sizes))
    while len(shown) > max_ticks:
        shown = shown[::-1][::2][::-1]  # every second, the largest kept
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_major_formatter(FixedFormatter([short_count(size) for size in shown]))
    axes.xaxis.set_minor_locator(NullLocator())


def short_count(value: float) -> str:
    """12,800 as `12.8k`, 2,500,000 as `2.5M`; below 10,000 written out with a comma."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            scale = 1e3 if unit == "k" else limit
            return f"{value / scale:.1f}".rstrip("0").rstrip(".") + unit
    return f"{value:,.0f}"
