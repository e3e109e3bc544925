"""The templates of the pages and the model card, and how they are filled in."""

from collections.abc import Callable, Mapping

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template

_OURS = "gelora.report"


def template(
    name: str,
    *,
    package: str = _OURS,
    filters: Mapping[str, Callable[[str], str]] | None = None,
) -> Template:
    """Return a template, in which a name that is not given is an error.

    Args:
        name: Of the file in `templates`. In HTML all text is escaped, in Markdown none.
        package: Whose templates are looked at first; then come those of the report.
        filters: By the names that the template has for them.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(one, "templates") for one in (package, _OURS)]),
        autoescape=".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters or {})
    return environment.get_template(name)
