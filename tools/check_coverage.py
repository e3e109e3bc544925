"""Fail where the tests cover less of the package than they must.

    python tools/check_coverage.py coverage.json

Reads the JSON report of coverage.py. `make coverage` writes it, with branches, and runs this.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

REQUIRED: Mapping[str, float] = {
    "src/gelora/dimension/": 100.0,
    "src/gelora/ranks/": 100.0,
    "src/gelora/adapters.py": 100.0,
    "src/gelora/": 90.0,
}
"""Least share of the lines and branches of each path that tests must run, in per cent."""


def shortfalls(files: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each path that falls short, with its least covered files.

    Args:
        files: The entry "files" of the report.

    Returns:
        No sentence where every path has its share.
    """
    sentences: list[str] = []
    for path, required in REQUIRED.items():
        summaries = {name: file["summary"] for name, file in files.items() if path in name}
        if not summaries:
            sentences.append(f"{path} is not in the report.")
            continue
        covered = percentage(summaries.values())
        if covered < required:
            worst = sorted(summaries, key=lambda name: percentage([summaries[name]]))[:3]
            sentences.append(
                f"{path} is covered by {covered:.2f} %, and {required:g} % is required. Least "
                f"covered: {', '.join(worst)}."
            )
    return sentences


def percentage(summaries: Iterable[Mapping[str, int]]) -> float:
    """Return the share of lines and branches that ran, in per cent."""
    listed = list(summaries)
    total = sum(one["num_statements"] + one["num_branches"] for one in listed)
    ran = sum(one["covered_lines"] + one["covered_branches"] for one in listed)
    return 100.0 * ran / total if total else 100.0


def main(report: Path) -> int:
    """Print what falls short, and return the exit code."""
    found = shortfalls(json.loads(report.read_text(encoding="utf-8"))["files"])
    for sentence in found:
        print(sentence)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
