"""The README and the pages of docs/ that are written by hand, by their path."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
GENERATED = ("docs/_build/", "docs/reference/", "docs/results/", "docs/changelog.md")


def written_pages() -> dict[str, str]:
    """Return the text of each page by its path in the repository, the README first."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    texts = {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}
    return {name: text for name, text in texts.items() if not name.startswith(GENERATED)}
