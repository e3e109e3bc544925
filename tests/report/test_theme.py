from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from gelora.ranks import plan_ranks
from gelora.report.figures import dimension_figure
from gelora.report.theme import BLUE, themed, to_svg
from report.example_run import example_profile


@pytest.fixture(scope="module")
def svg():
    profile = example_profile()
    return to_svg(dimension_figure(profile, plan_ranks(profile)), description="The ranks")


def test_svg_is_well_formed_and_says_what_it_shows(svg):
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == "The ranks"
    assert root.attrib["viewBox"] == "0 0 648 345.6"


def test_svg_names_no_network_no_font_and_no_repeated_group(svg):
    assert "http" not in svg
    assert "DejaVu" not in svg
    assert '<g id="' not in svg
    assert "<style" not in svg


def test_colours_follow_the_page_and_fall_back_to_their_own(svg):
    assert f"stroke: var(--blue, {BLUE})" in svg
    assert "currentColor" in svg


def test_svg_is_the_same_twice_whatever_the_users_settings(svg):
    profile = example_profile()
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.facecolor": "red"}):
        again = to_svg(dimension_figure(profile, plan_ranks(profile)), description="The ranks")
    assert again == svg


def test_a_figure_leaves_the_users_settings_alone():
    before = dict(mpl.rcParams)
    profile = example_profile()
    to_svg(dimension_figure(profile, plan_ranks(profile)), description="")
    assert dict(mpl.rcParams) == before


def test_names_are_neither_markup_nor_mathematics():
    @themed
    def draw(name: str) -> Figure:
        figure = Figure()
        figure.subplots().set_title(name)
        return figure

    svg = to_svg(draw("<b>$x_1$</b>"), description='"><script>')
    assert "&lt;b&gt;$x_1$&lt;/b&gt;" in svg
    assert "<script" not in svg
    assert ElementTree.fromstring(svg).attrib["aria-label"] == '"><script>'
