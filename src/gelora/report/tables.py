"""The tables of a run as rows of text, and how a table stands in HTML, Markdown and a terminal.

A row maps headings to cells. The page, the model card and the terminal show the same rows, each
with the columns that fit it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from gelora.dimension.drift import verdict_words
from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan
from gelora.ranks.advice import CERTAINTY_HEADINGS, certainty
from gelora.report import text
from gelora.report.stacks import short_names

if TYPE_CHECKING:
    import pandas as pd

Rows = list[dict[str, str]]


def rank_table(
    plan: RankPlan, profile: DimensionProfile | None = None, names: Sequence[str] | None = None
) -> Rows:
    """Return a row for every sublayer, with its rank and the numbers behind the rank, and a sum.

    Args:
        plan: The ranks.
        profile: The dimensions; without them, a row has the rank and the parameters alone.
        names: A name for every sublayer; by default its number, or without a profile its path.
    """
    if profile is None:
        rows = [
            {plan.granularity: name, "rank": str(rank), "parameters": f"{parameters:,}"}
            for name, rank, parameters in zip(
                plan.sublayers, plan.ranks, plan.parameters, strict=True
            )
        ]
    else:
        rows = _rank_rows(plan, profile, names)
    total = {
        plan.granularity: "total",
        "rank": str(sum(plan.ranks)),
        "lower bound": str(sum(plan.bounds)),
        "modules": str(len(plan.modules)),
        "parameters": f"{plan.trainable_parameters:,}",
    }
    return [*rows, {heading: total.get(heading, "") for heading in rows[0]}]


def _rank_rows(plan: RankPlan, profile: DimensionProfile, names: Sequence[str] | None) -> Rows:
    modules = Counter(
        profile.sublayer_of(module) for module in profile.modules if module.name in plan.modules
    )
    layers = [profile.layer_of(sublayer) for sublayer in range(len(profile.sublayers))]
    if names is None:
        layer_names = short_names(profile)
        names = [layer_names[layer].removeprefix("block ") for layer in layers]
    increments = _increments(profile)
    per_block = len(profile.sublayers) // len(profile.blocks)
    return [
        {
            plan.granularity: names[sublayer],
            "rank": str(plan.ranks[sublayer]),
            CERTAINTY_HEADINGS[plan.settings.rule]: certainty(plan, sublayer),
            "dimension": _dimension(profile, layer),
            "increment": increments[layer],
            "lower bound": str(plan.bounds[sublayer]),
            "modules": str(modules[sublayer]),
            "parameters": f"{plan.parameters[sublayer]:,}",
            "name": profile.blocks[sublayer // per_block],
        }
        for sublayer, layer in enumerate(layers)
    ]


def code(name: str) -> Markup:
    """Return a module's path as code that may break after a dot or slash."""
    breakable = escape(name).replace(".", Markup(".<wbr>")).replace("/", Markup("/<wbr>"))
    return Markup(f"<code>{breakable}</code>")


def estimators(profile: DimensionProfile) -> list[str]:
    """Return the names of the profile's estimators, its own first."""
    known = [name for name in text.ESTIMATOR_NAMES if name in profile.series]
    return sorted(known, key=lambda name: name != profile.settings.estimator)


def layer_table(profile: DimensionProfile, names: Sequence[str] | None = None) -> Rows:
    """Return a row for every layer: its dimension by each estimator, and the verdict on it.

    Args:
        profile: The dimensions.
        names: A name for every layer; by default in words.
    """
    _, *others = estimators(profile)
    smallest = profile.decimation[-1]
    increments = _increments(profile)
    rows: Rows = []
    for layer, name in enumerate(names or short_names(profile)):
        numbers = {text.ESTIMATOR_NAMES[e]: profile.series[e].dimensions[layer] for e in others}
        if len(profile.decimation) > 1:
            numbers[f"by {smallest.num_samples:,} samples"] = smallest.dimensions[layer]
        rows.append(
            {
                "layer": name,
                "dimension": _dimension(profile, layer),
                "increment": increments.get(layer, ""),
                "verdict": verdict_words(profile, layer),
                **{heading: text.number(value, 2) for heading, value in numbers.items()},
                "in 3 coordinates": f"{100 * profile.top_variance_shares[layer]:.0f} %",
            }
        )
    return rows


def metric_table(metrics: Mapping[str, Any], *, own: str = "adapter") -> Rows:
    """Return a row for every metric: the adapter's value, and each baseline's.

    Args:
        metrics: What `metrics.json` holds.
        own: Heading of the adapter's column.
    """
    problem, baselines = metrics["problem"], metrics["baselines"]
    columns = {text.baseline_name(name, problem): baselines[name] for name in baselines}
    return [
        {
            "metric": text.metric_name(name),
            **{
                heading: text.metric_value(values.get(name), problem)
                for heading, values in {own: metrics["metrics"], **columns}.items()
            },
            text.samples_word(problem): f"{metrics['metrics'][name]['num_samples']:,}",
        }
        for name in text.in_order(metrics)
    ]


def _dimension(profile: DimensionProfile, layer: int) -> str:
    error = profile.standard_errors[layer]
    return text.with_error(profile.dimensions[layer], error, decimals=2)


def _increments(profile: DimensionProfile) -> dict[int, str]:
    """Return the increment of every sublayer with its error, by the layer after the sublayer."""
    return {
        profile.layer_of(sublayer): text.with_error(increment, error, decimals=2, sign=True)
        for sublayer, (increment, error) in enumerate(
            zip(profile.increments, profile.increment_standard_errors, strict=True)
        )
    }


def text_table(rows: Rows, columns: Sequence[str] = (), *, last_is_text: bool = False) -> str:
    """Return a table for the terminal.

    Args:
        rows: The rows.
        columns: Headings of the columns to show, in order; by default all.
        last_is_text: Whether the last column is text, too.
    """
    columns = columns or list(rows[0])
    cells = [[row[heading] for heading in columns] for row in rows]
    return text.table(columns, cells, last_is_text=last_is_text)


def html_table(table: Any, label: str, classes: str = "") -> Markup:
    """Return a table for a page; its first column names the rows.

    Args:
        table: Rows, or a data frame of text. Cells are escaped unless they are `Markup`.
        label: What the table shows, for readers who do not see it.
        classes: Classes of the table for the page's style.
    """
    import pandas as pd  # noqa: PLC0415 - slow to import, and the terminal does without

    safe = text_frame(table).map(escape).rename(columns=lambda name: str(escape(name)))
    first = safe.columns[0]
    named = safe.set_index(first).rename_axis(index=None, columns=first)
    with pd.option_context("display.max_colwidth", None):
        html = named.to_html(border=0, escape=False, justify="inherit", classes=classes or None)
    html = html.replace("\n      ", "").replace("\n    </tr>", "</tr>")  # a row is a line
    head, body = html.split("</thead>")
    head = head.replace("<table", f'<table aria-label="{escape(label)}"', 1)
    head, body = head.replace("<th>", '<th scope="col">'), body.replace("<th>", '<th scope="row">')
    return Markup(f'<div class="scroll" tabindex="0">{head}</thead>{body}</div>')


def markdown_table(table: Any, rule: str = "---:") -> str:
    """Return a table in GitHub's Markdown; the first column stands to the left.

    Pandas' own `to_markdown` needs another package, and leaves a "|" in a cell as it is.

    Args:
        table: Rows, or a data frame of text.
        rule: Markdown's alignment of the other columns, by default to the right.
    """
    frame = text_frame(table)
    lines = [list(frame.columns), ["---", *[rule] * (frame.shape[1] - 1)]]
    rows = [*lines, *frame.to_numpy().tolist()]
    cells = [[text.one_line(cell).replace("|", r"\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def text_frame(cells: Any) -> "pd.DataFrame":
    """Return a data frame that keeps `Markup`, which pandas' own type of text would not."""
    import pandas as pd  # noqa: PLC0415 - slow to import, and the terminal does without

    return pd.DataFrame(cells, dtype=object)
