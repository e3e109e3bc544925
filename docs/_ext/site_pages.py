"""The Sphinx extension of these docs: it writes the generated pages and mends links.

The site has no file of its own for the reference and the results. `reference.py` makes the first
from the code, `repository.py` the second from pages elsewhere in the repository.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

import reference
import repository


def write_pages(app: Sphinx) -> None:
    """Write the generated pages; a page that has not changed keeps its time, and is not rebuilt."""
    pages = {f"reference/{path}": text for path, text in reference.pages().items()}
    pages |= repository.pages()
    root = Path(app.srcdir)
    for file in (*root.glob("reference/**/*.md"), *root.glob("results/*.md")):
        if file.relative_to(root).as_posix() not in pages:  # of a verb that was renamed
            file.unlink()
    for path, text in pages.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def mend_links(app: Sphinx, page: str, content: list[str]) -> None:
    """Mend the links of a page that lead out of `docs/`."""
    path = (Path(app.srcdir) / f"{page}.md").relative_to(repository.ROOT)
    content[0] = repository.with_site_links(content[0], path.as_posix())


def keep_colons(_: Sphinx, what: str, *rest: Any) -> None:
    """Keep napoleon from taking the words before a colon for the type of a property."""
    *_, lines = rest
    if what in ("attribute", "data", "property"):
        lines.insert(0, "\\ ")  # a line without a colon, which shows nothing


def mend_signature(_: Sphinx, *rest: Any) -> tuple[str | None, str | None]:
    """Write a default that is no literal, such as a factory, as dots that Sphinx can parse."""
    *_, signature, returned = rest
    return signature and re.sub(r"<[\w ]+>", "...", signature), returned


def mend_spaces(_: Sphinx, page: nodes.document) -> None:
    """Keep a number and its error on one line, and write dashes where Sphinx leaves two hyphens."""
    for text in list(page.findall(nodes.Text)):
        mended = " – " if text == " -- " else re.sub(" (?=[±†▽])|(?<=±) ", "\u00a0", text)
        if mended != text and not isinstance(text.parent, nodes.literal_block):
            text.parent.replace(text, nodes.Text(mended))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect them to the build."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", mend_links)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", mend_signature)
    app.connect("doctree-read", mend_spaces)
    return {"parallel_read_safe": True}
