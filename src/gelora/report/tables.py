"""The tables of a run as data frames of text, and how they stand in HTML and Markdown."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from gelora.dimension.drift import verdict_word, verdict_words
from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan
from gelora.ranks.advice import CERTAINTY_HEADINGS, certainty
from gelora.report import text
from gelora.report.stacks import short_names


def rank_table(plan: RankPlan, profile: DimensionProfile | None = None) -> pd.DataFrame:
    """Return a row for every block or half block: its rank, and the numbers behind the rank."""
    if profile is None:
        ranks = {"block": plan.sublayers, "rank": map(str, plan.ranks)}
        return text_frame({**ranks, "parameters": map("{:,}".format, plan.parameters)})
    modules = Counter(
        profile.sublayer_of(module) for module in profile.modules if module.name in plan.modules
    )
    names = short_names(profile)
    per_block = len(profile.sublayers) // len(profile.blocks)
    return text_frame(
        {
            "block": names[layer].removeprefix("block "),
            "rank": str(plan.ranks[sublayer]),
            CERTAINTY_HEADINGS[plan.settings.rule]: certainty(plan, sublayer),
            "dimension": text.with_error(
                profile.dimensions[layer], profile.standard_errors[layer], decimals=2
            ),
            "increment": text.with_error(
                profile.increments[sublayer],
                profile.increment_standard_errors[sublayer],
                decimals=2,
                sign=True,
            ),
            "lower bound": str(plan.bounds[sublayer]),
            "modules": str(modules[sublayer]),
            "parameters": f"{plan.parameters[sublayer]:,}",
            "name": profile.blocks[sublayer // per_block],
        }
        for sublayer in range(len(profile.sublayers))
        for layer in [profile.layer_of(sublayer)]
    )


def page_rank_table(plan: RankPlan, profile: DimensionProfile) -> pd.DataFrame:
    """Return the ranks with their sums, for a page."""
    frame = rank_table(plan, profile)
    frame["name"] = pd.Series(map(code, frame["name"]), dtype=object)
    frame.loc[len(frame)] = {
        **dict.fromkeys(frame.columns, ""),
        "block": "total",
        "rank": str(sum(plan.ranks)),
        "lower bound": str(sum(plan.bounds)),
        "modules": str(len(plan.modules)),
        "parameters": f"{plan.trainable_parameters:,}",
    }
    return frame


def code(name: str) -> Markup:
    """Return a module's path as code that may break after a dot or slash."""
    breakable = escape(name).replace(".", Markup(".<wbr>")).replace("/", Markup("/<wbr>"))
    return Markup(f"<code>{breakable}</code>")


def estimators(profile: DimensionProfile) -> list[str]:
    """Return the names of the profile's estimators, its own first."""
    known = [name for name in text.ESTIMATOR_NAMES if name in profile.series]
    return sorted(known, key=lambda name: name != profile.settings.estimator)


def layer_table(profile: DimensionProfile) -> pd.DataFrame:
    """Return a row for every layer: its dimension by each estimator, and the verdict on it."""
    _, *others = estimators(profile)
    smallest = profile.decimation[-1]

    def verdict(layer: int) -> str:
        words = verdict_words(profile, layer)
        doubt = verdict_word(profile, layer) != "stable"
        return Markup('<span class="doubt">{}</span>').format(words) if doubt else words

    def row(layer: int, name: str) -> dict[str, str]:
        numbers = {text.ESTIMATOR_NAMES[e]: profile.series[e].dimensions[layer] for e in others}
        if len(profile.decimation) > 1:
            numbers[f"by {smallest.num_samples:,} samples"] = smallest.dimensions[layer]
        return {
            "layer": name,
            text.ESTIMATOR_NAMES[profile.settings.estimator]: text.with_error(
                profile.dimensions[layer], profile.standard_errors[layer], decimals=2
            ),
            "verdict": verdict(layer),
            **{heading: text.number(value, 2) for heading, value in numbers.items()},
            "in 3 coordinates": f"{100 * profile.top_variance_shares[layer]:.0f} %",
        }

    return text_frame(row(layer, name) for layer, name in enumerate(short_names(profile)))


def metric_table(metrics: Mapping[str, Any], *, own: str = "adapter") -> pd.DataFrame:
    """Return a row for every metric: the adapter's value, and each baseline's.

    Args:
        metrics: What `metrics.json` holds.
        own: Heading of the adapter's column.
    """
    problem, baselines = metrics["problem"], metrics["baselines"]
    columns = {text.baseline_name(name, problem): baselines[name] for name in baselines}
    return text_frame(
        {
            "metric": text.metric_name(name),
            **{
                heading: text.metric_value(values.get(name), problem)
                for heading, values in {own: metrics["metrics"], **columns}.items()
            },
            text.samples_word(problem): f"{metrics['metrics'][name]['num_samples']:,}",
        }
        for name in text.in_order(metrics)
    )


def html_table(frame: pd.DataFrame, label: str, classes: str = "") -> Markup:
    """Return a table for a page; its first column names the rows.

    Args:
        frame: Text in every cell, escaped unless it is `Markup`.
        label: What the table shows, for readers who do not see it.
        classes: Classes of the table for the page's style.
    """
    safe = frame.map(escape).rename(columns=lambda name: str(escape(name)))
    first = safe.columns[0]
    named = safe.set_index(first).rename_axis(index=None, columns=first)
    with pd.option_context("display.max_colwidth", None):
        html = named.to_html(border=0, escape=False, justify="inherit", classes=classes or None)
    html = html.replace("\n      ", "").replace("\n    </tr>", "</tr>")  # a row is a line
    head, body = html.split("</thead>")
    head = head.replace("<table", f'<table aria-label="{escape(label)}"', 1)
    head, body = head.replace("<th>", '<th scope="col">'), body.replace("<th>", '<th scope="row">')
    return Markup(f'<div class="scroll" tabindex="0">{head}</thead>{body}</div>')


def markdown_table(frame: pd.DataFrame, rule: str = "---:") -> str:
    """Return a table in GitHub's Markdown; the first column stands to the left.

    Pandas' own `to_markdown` needs another package, and leaves a "|" in a cell as it is.

    Args:
        frame: Text in every cell.
        rule: Markdown's alignment of the other columns, by default to the right.
    """
    lines = [list(frame.columns), ["---", *[rule] * (frame.shape[1] - 1)]]
    rows = [*lines, *frame.to_numpy().tolist()]
    cells = [[text.one_line(cell).replace("|", r"\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def text_frame(cells: Any) -> pd.DataFrame:
    """Return a data frame that keeps `Markup`, which pandas' own type of text would not."""
    return pd.DataFrame(cells, dtype=object)
