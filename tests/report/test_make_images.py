"""The README's figure, by the script that draws it."""

import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gelora.report.theme import STANDALONE_STYLE
from report.example_run import write_example_run

SCRIPT = Path(__file__).parents[2] / "docs" / "make_images.py"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


def test_the_figure_stands_alone(script, tmp_path):
    write_example_run(tmp_path)
    path = tmp_path / "images" / "cola.svg"
    script["main"](str(tmp_path), str(path))
    root = ElementTree.fromstring(path.read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "embeddings 8.01, block 1 8.82" in root.attrib["aria-label"]
    assert "Ranks of the blocks in order: 2, 2," in root.attrib["aria-label"]


def luminance(colour):
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", ["color", "--muted", "--blue", "--green", "--purple"])
@pytest.mark.parametrize("page", ["#ffffff", "#0d1117"])
def test_its_colours_are_legible_on_light_and_dark_pages(name, page):
    style = dict(entry.split(": ") for entry in STANDALONE_STYLE.split("; "))
    bright, dark = sorted([luminance(style[name]), luminance(page)], reverse=True)
    assert (bright + 0.05) / (dark + 0.05) > 3.5
