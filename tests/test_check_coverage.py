"""The gate on coverage: each path has its own share, and a path that is missing is reported."""

import json
import re
import runpy
from pathlib import Path

TOOL = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "check_coverage.py"))


def summary(lines, covered, branches=0, covered_branches=0):
    return {
        "summary": {
            "num_statements": lines,
            "covered_lines": covered,
            "num_branches": branches,
            "covered_branches": covered_branches,
        }
    }


FULL = {
    "src/gelora/dimension/twonn.py": summary(10, 10, 2, 2),
    "src/gelora/ranks/plan.py": summary(10, 10),
    "src/gelora/adapters.py": summary(10, 10),
    "src/gelora/cli/run.py": summary(10, 10),
}


def test_shortfalls_is_empty_where_all_is_covered():
    assert TOOL["shortfalls"](FULL) == []


def test_shortfalls_counts_a_branch_of_the_core():
    files = {**FULL, "src/gelora/dimension/twonn.py": summary(10, 10, 2, 1)}
    (sentence,) = TOOL["shortfalls"](files)
    assert sentence == (
        "src/gelora/dimension/ is covered by 91.67 %, and 100 % is required. Least covered: "
        "src/gelora/dimension/twonn.py."
    )


def test_shortfalls_allows_a_tenth_of_the_whole():
    assert TOOL["shortfalls"]({**FULL, "src/gelora/cli/run.py": summary(10, 7)}) == []
    (sentence,) = TOOL["shortfalls"]({**FULL, "src/gelora/cli/run.py": summary(10, 5)})
    assert re.match(r"src/gelora/ is covered by 88\.10 %, and 90 % is required", sentence)


def test_shortfalls_names_a_path_that_is_missing():
    files = {name: file for name, file in FULL.items() if "adapters" not in name}
    assert TOOL["shortfalls"](files) == ["src/gelora/adapters.py is not in the report."]


def test_main_prints_and_fails(tmp_path, capsys):
    report = tmp_path / "coverage.json"
    report.write_text(json.dumps({"files": FULL}))
    assert TOOL["main"](report) == 0
    report.write_text(json.dumps({"files": {**FULL, "src/gelora/adapters.py": summary(4, 3)}}))
    assert TOOL["main"](report) == 1
    assert "src/gelora/adapters.py is covered by 75.00 %" in capsys.readouterr().out
