"""The tables of a comparison as data frames of text, and all its numbers as CSV."""

from collections.abc import Mapping, Sequence

import pandas as pd

from gelora.lab.comparison.results import REFERENCE_METHOD, Failure, RunResult, Trial
from gelora.lab.comparison.sensitivity import Variation
from gelora.lab.comparison.statistics import Difference, Summary
from gelora.report.tables import text_frame
from gelora.report.text import DECIMALS, duration, metric_name, number, with_error

OFF_BUDGET = "†"
NONE = "–"
_OUTCOMES = {"win": "wins", "tie": "ties", "loss": "loses"}


def method_table(summaries: Sequence[Summary], problem: str) -> pd.DataFrame:
    """Return every method on a task at a budget, the best first."""
    metric = metric_name(summaries[0].rows[0].headline_metric)
    return text_frame(
        {
            "method": summary.method,
            metric: mean_and_deviation(summary, problem),
            f"less {REFERENCE_METHOD} [95 %]": interval(difference, problem),
            "parameters": parameters(summary),
            "seeds": str(len(summary.rows)),
            "p": p_text(difference and difference.p_value),
            "corrected p": p_text(difference and difference.corrected_p),
            REFERENCE_METHOD: NONE if difference is None else _OUTCOMES[difference.outcome],
            "learning rate": learning_rates(summary.rows),
            "training": duration(summary.median("training_seconds")),
            "choosing ranks": duration(seconds) if seconds else NONE,
        }
        for summary in sorted(summaries, key=lambda summary: -summary.quality)
        for difference in [summary.difference]
        for seconds in [summary.median("selection_seconds")]
    )


def rank_table(ranks: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Return every method's mean rank over tasks, a column for each budget, the best first."""
    means = pd.DataFrame(ranks)
    means = means.loc[means.mean(axis=1).sort_values(kind="stable").index]
    cells = means.map(lambda mean: NONE if pd.isna(mean) else f"{mean:.2f}")
    return cells.rename_axis("method").reset_index()


def trial_table(trials: Sequence[Trial], rows: Sequence[RunResult], problem: str) -> pd.DataFrame:
    """Return the learning rates that were tried for a task and budget; the chosen is in brackets.

    Args:
        trials: Of the task at the budget.
        rows: Of the same, which say what was chosen.
        problem: Of the task.
    """
    rates = sorted({trial.learning_rate for trial in trials})
    chosen = {(_method(row), row.learning_rate) for row in rows}
    tried = {(_method(trial), trial.learning_rate): trial.value for trial in trials}

    def cell(method: str, rate: float) -> str:
        if (method, rate) not in tried:
            return NONE
        value = tried[method, rate]
        text = "diverged" if value is None else number(value, DECIMALS.get(problem, 3))
        return f"[{text}]" if (method, rate) in chosen else text

    return text_frame(
        {"method": method, **{f"{rate:g}": cell(method, rate) for rate in rates}}
        for method in dict.fromkeys(map(_method, trials))
    )


def sensitivity_table(found: Sequence[Variation], problem: str) -> pd.DataFrame:
    """Return how ranks and result move with a setting, of one method on a task at a budget."""
    metric = metric_name(found[0].summary.rows[0].headline_metric)
    return text_frame(
        {
            "setting": varied_text(variation),
            "mean rank": f"{sum(ranks.values()) / len(ranks):.2f}" if ranks else NONE,
            "ranks by block": " ".join(variation.block_ranks) or NONE,
            "modules moved": NONE
            if variation.modules_moved is None
            else f"{variation.modules_moved} of {variation.modules_shared}",
            "parameters": parameters(variation.summary),
            metric: mean_and_deviation(variation.summary, problem),
            "seeds": str(len(variation.summary.rows)),
            "less the first [95 %]": interval(variation.difference, problem),
            "p": p_text(variation.difference and variation.difference.p_value),
        }
        for variation in found
        for ranks in [variation.ranks]
    )


def failure_table(failures: Sequence[Failure]) -> pd.DataFrame:
    """Return what failed in the last call."""
    return text_frame(
        {
            "task": " ".join(
                [failure.task, *(f"{name}={value}" for name, value in failure.varied.items())]
            ),
            "method": failure.method or NONE,
            "stage": failure.stage,
            "budget": failure.budget or NONE,
            "seed": NONE if failure.seed is None else str(failure.seed),
            "learning rate": NONE
            if failure.learning_rate is None
            else f"{failure.learning_rate:g}",
            "error": failure.error,
        }
        for failure in failures
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


def p_text(p_value: float | None) -> str:
    """Return a p-value.

    >>> p_text(0.0317), p_text(2e-6), p_text(None)
    ('0.032', '< 0.001', '–')
    """
    if p_value is None:
        return NONE
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def varied_text(variation: Variation) -> str:
    """Return what is otherwise in a variation."""
    pairs = [f"{name} {value}" for name, value in variation.varied.items()]
    return ", ".join(pairs) or "as it is"


def learning_rates(rows: Sequence[RunResult]) -> str:
    """Return the learning rate of runs, which is one but for those put together by hand."""
    return ", ".join(f"{rate:g}" for rate in sorted({row.learning_rate for row in rows}))


def to_csv(summaries: Sequence[Summary], found: Sequence[Variation]) -> str:
    """Return all summaries in full precision, a line for each method on a task at a budget.

    Variations come last, with what is varied and their difference from the first of them.
    """
    lines = [_csv_line(summary, "", summary.difference) for summary in summaries]
    for variation in found:
        varied = ";".join(f"{name}={value}" for name, value in variation.varied.items())
        lines.append(_csv_line(variation.summary, varied, variation.difference))
    return text_frame(lines).to_csv(index=False, lineterminator="\n") if lines else ""


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


def _method(record: RunResult | Trial) -> str:
    return ", ".join([record.method, *(f"{k} {v}" for k, v in record.varied.items())])
