"""The tables of a comparison, as text in cells, and how they stand in Markdown and CSV.

Numbers only; sentences about them are in `comparison_wording`.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from gelora.lab.comparison.results import REFERENCE_METHOD, Failure, Row, Trial
from gelora.lab.comparison.sensitivity import Variation
from gelora.lab.comparison.statistics import Difference, Summary
from gelora.report.result_wording import DECIMALS, metric_name
from gelora.report.wording import duration, number, with_error

OFF_BUDGET = "†"
NONE = "–"
_OUTCOMES = {"win": "wins", "tie": "ties", "loss": "loses"}


@dataclass(frozen=True)
class Table:
    """A table as text.

    Attributes:
        label: What it shows.
        headings: One for each column.
        rows: One text for each heading; the first names the row.
    """

    label: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def method_table(summaries: Sequence[Summary], problem: str) -> Table:
    """Return every method on a task at a budget, the best first."""
    first = summaries[0]
    metric = metric_name(first.rows[0].headline_metric)
    ordered = sorted(summaries, key=lambda one: -one.quality)
    return Table(
        f"Methods on {first.task} at {first.budget}",
        (
            *("method", "parameters", metric, "seeds", f"less {REFERENCE_METHOD} [95 %]"),
            *("p", "corrected p", REFERENCE_METHOD, "learning rate", "training", "choosing ranks"),
        ),
        [
            (
                one.method,
                parameters(one),
                mean_and_deviation(one, problem),
                str(len(one.rows)),
                interval(one.difference, problem),
                NONE if one.difference is None else p_text(one.difference.p_value),
                NONE if one.difference is None else p_text(one.difference.corrected_p),
                NONE if one.difference is None else _OUTCOMES[one.difference.outcome],
                learning_rates(one.rows),
                duration(one.median("training_seconds")),
                _selection(one),
            )
            for one in ordered
        ],
    )


def rank_table(ranks: dict[str, dict[str, float]]) -> Table:
    """Return every method's mean rank over tasks, a column for each budget."""
    methods = list(dict.fromkeys(name for one in ranks.values() for name in one))
    means = {name: [one[name] for one in ranks.values() if name in one] for name in methods}
    methods.sort(key=lambda name: sum(means[name]) / len(means[name]))
    return Table(
        "Mean rank over tasks",
        ("method", *ranks),
        [
            (name, *(f"{one[name]:.2f}" if name in one else NONE for one in ranks.values()))
            for name in methods
        ],
    )


def trial_table(trials: Sequence[Trial], rows: Sequence[Row], problem: str) -> Table:
    """Return the learning rates that were tried for a task and budget; the chosen is in brackets.

    Args:
        trials: Of the task at the budget.
        rows: Of the same, which say what was chosen.
        problem: Of the task.
    """
    rates = sorted({trial.learning_rate for trial in trials})
    chosen = {(_method(row), row.learning_rate) for row in rows}
    found = {(_method(trial), trial.learning_rate): trial for trial in trials}

    def cell(method: str, rate: float) -> str:
        trial = found.get((method, rate))
        if trial is None:
            return NONE
        text = "diverged" if trial.value is None else number(trial.value, DECIMALS.get(problem, 3))
        return f"[{text}]" if (method, rate) in chosen else text

    return Table(
        f"Learning rates tried on {trials[0].task} at {trials[0].budget}",
        ("method", *(f"{rate:g}" for rate in rates)),
        [
            (method, *(cell(method, rate) for rate in rates))
            for method in dict.fromkeys(map(_method, trials))
        ],
    )


def sensitivity_table(found: Sequence[Variation], problem: str) -> Table:
    """Return how ranks and result move with a setting, of one method on a task at a budget."""
    first = found[0].summary
    metric = metric_name(first.rows[0].headline_metric)
    return Table(
        f"{first.method} on {first.task} at {first.budget}, varied",
        (
            *("setting", "mean rank", "ranks by block", "modules moved", "parameters"),
            *(metric, "seeds", "less the first [95 %]", "p"),
        ),
        [
            (
                varied_text(one),
                f"{sum(one.ranks.values()) / len(one.ranks):.2f}" if one.ranks else NONE,
                " ".join(one.block_ranks) or NONE,
                NONE
                if one.modules_moved is None
                else f"{one.modules_moved} of {one.modules_shared}",
                parameters(one.summary),
                mean_and_deviation(one.summary, problem),
                str(len(one.summary.rows)),
                interval(one.difference, problem),
                NONE if one.difference is None else p_text(one.difference.p_value),
            )
            for one in found
        ],
    )


def failure_table(failures: Sequence[Failure]) -> Table:
    """Return what failed in the last call."""
    return Table(
        "What failed",
        ("task", "method", "stage", "budget", "seed", "learning rate", "error"),
        [
            (
                " ".join([one.task, *(f"{name}={value}" for name, value in one.varied.items())]),
                one.method or NONE,
                one.stage,
                one.budget or NONE,
                NONE if one.seed is None else str(one.seed),
                NONE if one.learning_rate is None else f"{one.learning_rate:g}",
                one.error,
            )
            for one in failures
        ],
    )


def parameters(summary: Summary) -> str:
    """Return the adapter's parameters, the mean over seeds, marked where they miss the budget."""
    counts = [row.parameters["adapter"] for row in summary.rows]
    mark = "" if all(row.meets_budget for row in summary.rows) else f" {OFF_BUDGET}"
    return f"{round(sum(counts) / len(counts)):,}{mark}"


def mean_and_deviation(summary: Summary, problem: str) -> str:
    """Return a mean and the standard deviation over seeds."""
    decimals = DECIMALS.get(problem, 3)
    return with_error(summary.mean, summary.standard_deviation or 0.0, decimals=decimals)


def interval(difference: Difference | None, problem: str) -> str:
    """Return a difference and its interval."""
    if difference is None:
        return NONE
    decimals = DECIMALS.get(problem, 3)
    value, low, high = (
        number(end, decimals) for end in (difference.value, difference.low, difference.high)
    )
    sign = "+" if difference.value > 0 else ""
    return f"{sign}{value} [{low}, {high}]"


def p_text(p_value: float) -> str:
    """Return a p-value.

    >>> p_text(0.0317), p_text(2e-6)
    ('0.032', '< 0.001')
    """
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def varied_text(variation: Variation) -> str:
    """Return what is otherwise in a variation."""
    pairs = [f"{name} {value}" for name, value in variation.varied.items()]
    return ", ".join(pairs) or "as it is"


def learning_rates(rows: Sequence[Row]) -> str:
    """Return the learning rate of runs, which is one but for those put together by hand."""
    return ", ".join(f"{rate:g}" for rate in sorted({row.learning_rate for row in rows}))


def to_markdown(table: Table) -> str:
    """Return a table in GitHub's Markdown."""
    lines = [table.headings, ["---"] * len(table.headings), *table.rows]
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def to_csv(summaries: Sequence[Summary], found: Sequence[Variation]) -> str:
    """Return all summaries in full precision, a line for each method on a task at a budget.

    Variations come last, with what is varied and their difference from the first of them.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    lines = [_csv_line(one, "", one.difference) for one in summaries]
    lines += [
        _csv_line(one.summary, ";".join(f"{k}={v}" for k, v in one.varied.items()), one.difference)
        for one in found
    ]
    if lines:
        writer.writerow(lines[0])
        writer.writerows(line.values() for line in lines)
    return buffer.getvalue()


def _csv_line(one: Summary, varied: str, difference: Difference | None) -> dict[str, object]:
    row = one.rows[0]
    memory = [row.peak_memory_bytes for row in one.rows if row.peak_memory_bytes is not None]
    return {
        "task": one.task,
        "budget": one.budget,
        "budget_parameters": row.budget_parameters,
        "method": one.method,
        "varied": varied,
        "size": row.size,
        "adapter_parameters": sum(r.parameters["adapter"] for r in one.rows) / len(one.rows),
        "head_parameters": row.parameters["head"],
        "meets_budget": all(row.meets_budget for row in one.rows),
        "metric": row.headline_metric,
        "seeds": len(one.rows),
        "mean": one.mean,
        "standard_deviation": one.standard_deviation,
        "difference": difference and difference.value,
        "low": difference and difference.low,
        "high": difference and difference.high,
        "p_value": difference and difference.p_value,
        "corrected_p": difference and difference.corrected_p,
        "outcome_of_gelora": difference and difference.outcome,
        "learning_rate": row.learning_rate,
        "selection_seconds": one.median("selection_seconds"),
        "forward_tokens": one.median("forward_tokens"),
        "training_seconds": one.median("training_seconds"),
        "steps_per_second": one.median("steps_per_second"),
        "peak_memory_bytes": max(memory, default=None),
    }


def _method(record: Row | Trial) -> str:
    return ", ".join([record.method, *(f"{k} {v}" for k, v in record.varied.items())])


def _selection(summary: Summary) -> str:
    seconds = summary.median("selection_seconds")
    return duration(seconds) if seconds else NONE
