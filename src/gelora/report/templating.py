"""The templates of the pages and the model card, and the sentences that they share."""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template

from gelora.dimension.diagnostics import REMEDIES, advice_on
from gelora.dimension.verdicts import MAX_DISAGREEMENT
from gelora.ranks import advice
from gelora.ranks.uncertainty import CONFIDENCE
from gelora.report import diagnostics, stacks, text
from gelora.tasks.known import less_is_better

_OURS = "gelora.report"
_FUNCTIONS = (
    text.number, text.with_error, text.duration, text.join, text.list_runs, text.metric_name,
    text.baseline_name, text.metric_value, text.samples_word, stacks.layer_names,
    stacks.list_layers, stacks.describe_layers, diagnostics.layers_by_verdict, diagnostics.drifts,
    diagnostics.dimension_paths, diagnostics.least_sure, diagnostics.nearest_gap,
    diagnostics.farther_gap, diagnostics.fit_gap, diagnostics.block_weights,
    advice.adapted_sublayers, advice.clear_changes, advice.certainty, advice.unit, advice_on,
    less_is_better,
)  # fmt: skip
_GLOBALS = {
    **{function.__name__: function for function in _FUNCTIONS},
    "CERTAINTY_HEADINGS": advice.CERTAINTY_HEADINGS,
    "CONFIDENCE": CONFIDENCE,
    "ESTIMATOR_NAMES": text.ESTIMATOR_NAMES,
    "MAX_DISAGREEMENT": MAX_DISAGREEMENT,
    "REMEDIES": REMEDIES,
}


def template(
    name: str,
    *,
    package: str = _OURS,
    functions: Mapping[str, Callable[..., Any]] | None = None,
) -> Template:
    """Return a template, in which an undefined name is an error.

    Args:
        name: Name of the file in `templates`. Text is escaped in HTML, and as it is elsewhere.
        package: Package whose templates are looked up before the report's.
        functions: Functions that the template and those it imports call by these names.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(source, "templates") for source in (package, _OURS)]),
        autoescape=".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "count": "{:,}".format,
        "extract": lambda key, container: container[key],
        "flatten": text.flatten,
        "one_line": text.one_line,
    }
    environment.globals |= {**_GLOBALS, **(functions or {})}
    return environment.get_template(name)


def sentence(name: str, *values: object, source: Template | None = None) -> str:
    """Return a sentence on one line.

    Args:
        name: Name of its macro.
        values: Arguments of the macro.
        source: Template with the macro; by default the sentences that pages and card share.
    """
    macros = (source or template("sentences.jinja")).module
    return text.one_line(getattr(macros, name)(*values))
