"""Take pages of the repository that stand outside `docs/` into the site, and mend their links.

A link to a page of the site becomes a link of the site. A link to another file of the repository
becomes the file's path, since the site has no copy of the file. Images stay images.
"""

import posixpath
import re
from pathlib import Path

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent

LINK = re.compile(r"(!?)\[([^\]]+)\]\(([^)\s]+)\)")
FENCED = re.compile(r"(^```.*?^```\n?)", re.MULTILINE | re.DOTALL)


def taken_pages() -> dict[str, str]:
    """Return where each page from outside `docs/` goes in the site, by its path in the repository.

    >>> taken_pages()["experiments/minilm-glue/README.md"]
    'results/minilm-glue.md'
    """
    readmes = sorted(ROOT.glob("experiments/*/README.md"))
    taken = {
        f"experiments/{p.parent.name}/README.md": f"results/{p.parent.name}.md" for p in readmes
    }
    return taken | {"benchmarks/README.md": "results/benchmarks.md", "CHANGELOG.md": "changelog.md"}


def pages() -> dict[str, str]:
    """Return every page from outside `docs/` by its path in the site, with links of the site."""
    return {
        page: with_site_links((ROOT / path).read_text(encoding="utf-8"), path)
        for path, page in taken_pages().items()
    }


def with_site_links(text: str, path: str) -> str:
    """Return a page with every relative link as the site needs it.

    Args:
        text: The page, as Markdown.
        path: Path of the page in the repository.

    >>> with_site_links("[it](../tests/x.py), [a](a.md), [b](../benchmarks)", "docs/index.md")
    'it (`tests/x.py`), [a](/a.md), [b](/results/benchmarks.md)'
    """
    parts = FENCED.split(text)
    mended = [part if FENCED.match(part) else _mended(part, path) for part in parts]
    return "".join(mended)


def _mended(text: str, path: str) -> str:
    taken = taken_pages()

    def mend(link: re.Match[str]) -> str:
        is_image, words, target = link.groups()
        file, mark, heading = target.partition("#")
        if not file or re.match(r"/|\w+:", file):
            return link[0]
        whole = posixpath.normpath(posixpath.join(posixpath.dirname(path), file))
        if is_image:
            return f"![{words}](/../{whole})"
        page = taken.get(whole) or taken.get(f"{whole}/README.md")
        if page is None and whole.startswith("docs/") and whole.endswith(".md"):
            page = whole.removeprefix("docs/")
        if page is None:
            return f"{words} (`{whole}`)"
        return f"[{words}](/{page}{mark}{heading})"

    return LINK.sub(mend, text)
