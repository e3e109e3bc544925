"""The whole text of the page and the card, compared with what was read and accepted.

`pytest --snapshot-update tests/report/test_snapshots.py` accepts a new text; read the difference.
"""

import re
from pathlib import Path

import pytest

from gelora.report import write_card, write_report
from report.example_problems import PROBLEMS, write_example_of
from report.example_run import example_profile, write_example_run
from report.test_page import Page


def write(folder, kind):
    """Write one kind of example run."""
    if kind in PROBLEMS:
        write_example_of(folder, kind)
        return
    doubtful = example_profile(noisy=(3, 7), constant=True, all_estimators=True, growth=2.0)
    options = {
        "classification": {},
        "doubtful": {"profile": doubtful},
        "budget": {"budget": "r=8", "trained": False},
    }
    write_example_run(folder, **options[kind])


@pytest.mark.parametrize("kind", ["classification", "doubtful", "budget", *PROBLEMS])
def test_text_of_the_page(tmp_path, monkeypatch, snapshot, kind):
    monkeypatch.chdir(tmp_path)  # so that no path of a machine is in the text
    write(Path("run"), kind)
    html = write_report("run").read_text()
    main = re.sub(r"<(svg|style)\b.*?</\1>", "", html, flags=re.DOTALL)
    main = re.sub(r"\b[0-9a-f]{16}\b", "HASH", main)
    main = re.sub(r"</(?:th|td|dt)>(?!</tr>)", "\\g<0> | ", main)
    lines = re.sub(r"</(?:p|h\d|tr|li|dd|pre|summary|figcaption)>", "\\g<0> PARAGRAPH ", main)
    parts = Page(lines).text.split(" PARAGRAPH")
    assert "\n".join(part.strip() for part in parts) == snapshot


@pytest.mark.parametrize("kind", ["classification", *PROBLEMS])
def test_text_of_the_card(tmp_path, snapshot, kind):
    write(tmp_path, kind)
    (tmp_path / "adapter").mkdir()
    assert write_card(tmp_path).read_text() == snapshot
