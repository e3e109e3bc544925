"""How the figures look: colours, matplotlib's settings, and SVG that lives inside a page.

Knows nothing of what is drawn. The colours are Okabe and Ito's, told apart by colour-blind eyes;
in the SVG each becomes a CSS variable with the colour as its fallback, so the page can lighten
them in dark mode and a figure that stands alone still looks right.
"""

import io
import re
from collections.abc import Callable
from html import escape
from typing import ParamSpec

from matplotlib import style
from matplotlib.figure import Figure

INK = "#1f2328"
MUTED = "#5c6570"
GRID = "#d9dee3"
BLUE = "#0072b2"
GREEN = "#009e73"
VERMILION = "#d55e00"
PURPLE = "#cc79a7"

_VARIABLES = {
    INK: "currentColor",
    MUTED: f"var(--muted, {MUTED})",
    GRID: f"var(--grid, {GRID})",
    BLUE: f"var(--blue, {BLUE})",
    GREEN: f"var(--green, {GREEN})",
    VERMILION: f"var(--vermilion, {VERMILION})",
    PURPLE: f"var(--purple, {PURPLE})",
}

_SETTINGS = {
    "svg.fonttype": "none",  # text stays text: smaller, selectable, in the reader's own font
    "svg.hashsalt": "gelora",  # without it ids are random and no two builds are the same
    "text.parse_math": False,  # a name with two dollar signs is a name
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titlepad": 10,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.solid_capstyle": "round",
}

# One image for light and dark pages: middle tones, at least 3.5 to 1 on white and on #0d1117.
STANDALONE_STYLE = (
    "color: #6e7781; --muted: #6e7781; --grid: #6e778155; --blue: #2f81f7; --green: #16885f; "
    "--purple: #9a67ea; font-family: system-ui, sans-serif"
)

_Inputs = ParamSpec("_Inputs")


def themed(draw: Callable[_Inputs, Figure]) -> Callable[_Inputs, Figure]:
    """Make a function draw its figure with gelora's settings, whatever the user's own are."""

    def draw_themed(*args: _Inputs.args, **kwargs: _Inputs.kwargs) -> Figure:
        with style.context(["default", _SETTINGS]):
            return draw(*args, **kwargs)

    draw_themed.__doc__ = draw.__doc__
    return draw_themed


def to_svg(figure: Figure, *, description: str) -> str:
    """Return a figure as an `<svg>` element for a page, the same bytes every time.

    Args:
        figure: The figure, as made by one of `gelora.report.figures`.
        description: What it shows, in words and numbers, for readers who do not see it.
    """
    for area in (figure, *figure.axes):
        area.patch.set_visible(False)  # the page's own background shows
    buffer = io.StringIO()
    with style.context(["default", _SETTINGS]):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    width, height = figure.get_size_inches() * 72  # an SVG of matplotlib's counts points
    _, _, body = buffer.getvalue().partition("<svg")
    body = _compact(body[body.index(">") + 1 :])
    label = escape(description, quote=True)
    return f'<svg role="img" viewBox="0 0 {width:g} {height:g}" aria-label="{label}">{body}'


def standalone(svg: str) -> str:
    """Return an SVG of `to_svg` as a file of its own, for pages light or dark."""
    alone = f'<svg xmlns="http://www.w3.org/2000/svg" style="{STANDALONE_STYLE}"'
    return svg.replace("<svg", alone, 1) + "\n"


def _compact(svg: str) -> str:
    """Drop what an inline SVG does not need, which is two thirds of it."""
    svg = re.sub(r"<(metadata|style).*?</\1>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # nothing refers to them, and pages forbid repeats
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'(?<= )(?:d|x|y|transform)="[^"]*"', _shorten_numbers, svg)
    svg = re.sub(r' transform="rotate\(-?0 [^"]*"', "", svg)
    svg = re.sub(r"font: ((?:\w+ )*)([\d.]+px) [^;\"]*", r"font-size: \2", svg)
    svg = re.sub(r"font-family: [^;\"]*; ", "", svg)
    svg = re.sub(r'<g([^>]*)>\s*<use ([^>]*?) style="([^"]*)"', r'<g\1 style="\3"><use \2', svg)
    svg = re.sub(r'<use ([^>]*?) style="[^"]*"', r"<use \1", svg)  # markers of a group are alike
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r"<g\s*/>|<g>\s*</g>", "", svg)
    return re.sub(r">\s+<", "><", svg).strip()


def _shorten_numbers(match: re.Match[str]) -> str:
    """Keep two decimals, a fortieth of a millimetre on paper, and no line breaks."""
    attribute = " ".join(match[0].split())
    return re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.2f}", attribute)
