"""Plain text tables of what was found, for standard output. Pure: values in, text out."""

from collections.abc import Mapping, Sequence
from typing import Any

from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns: the first to the left, the others to the right.

    >>> print(table(["block", "rank"], [["layer.0", "1"], ["layer.1", "12"]]))
    block    rank
    layer.0     1
    layer.1    12
    """
    lines = [list(headings), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def dimension_table(profile: DimensionProfile) -> str:
    """Return a row for every level: its dimension and the block's increment, with errors."""
    increments = _increments(profile)
    rows = [
        [level, _measured(d, error), increments.get(level, "")]
        for level, d, error in zip(
            profile.levels, profile.dimensions, profile.standard_errors, strict=True
        )
    ]
    aside = profile.num_duplicates + profile.num_near_duplicates
    used = f"{profile.num_used:,} samples, {profile.pooling} pooling, {profile.estimator}"
    note = f"{used}; {aside:,} duplicates set aside." if aside else f"{used}."
    return f"{table(['level', 'dimension', 'increment'], rows)}\n{note}"


def rank_table(plan: RankPlan, profile: DimensionProfile) -> str:
    """Return a row for every block: dimension, increment, rank, modules, parameters; and a sum."""
    increments = _increments(profile)
    rows: list[list[str]] = []
    for i, block in enumerate(plan.blocks):
        level = profile.level_of(i)
        rows.append(
            [
                block,
                _measured(profile.dimensions[level], profile.standard_errors[level]),
                increments[block],
                str(plan.ranks[i]),
                str(sum(module.startswith(f"{block}.") for module in plan.modules)),
                f"{plan.parameters[i]:,}",
            ]
        )
    total = ["total", "", "", "", str(len(plan.modules)), f"{plan.trainable_parameters:,}"]
    headings = ["block", "dimension", "increment", "rank", "modules", "parameters"]
    return table(headings, [*rows, total])


def metrics_table(metrics: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a row for every metric: the adapter's value, and each baseline's beside it.

    Args:
        metrics: By metric, a mapping of value, standard_error and num_samples.
        baselines: By baseline, the same.
    """
    headings = ["metric", "adapter", *(name.replace("_", " ") for name in baselines), "texts"]
    rows = [
        [
            name,
            _metric(metric),
            *(_metric(baseline.get(name)) for baseline in baselines.values()),
            f"{metric['num_samples']:,}",
        ]
        for name, metric in metrics.items()
    ]
    return table(headings, rows)


def metrics_text(payload: Mapping[str, Any]) -> str:
    """Return the table of what metrics.json holds, and a line on size and time."""
    head, adapter = (payload["trainable_parameters"][part] for part in ("head", "adapter"))
    seconds = payload["seconds"]
    note = f"{adapter:,} parameters in the adapter and {head:,} outside; {seconds['train']:.0f} s."
    if not payload["metrics"]:
        return f"There are no validation texts to evaluate on.\n{note}"
    return f"{metrics_table(payload['metrics'], payload['baselines'])}\n{note}"


def _increments(profile: DimensionProfile) -> dict[str, str]:
    return {
        block: _measured(increment, error, sign=True)
        for block, increment, error in zip(
            profile.blocks, profile.increments, profile.increment_standard_errors, strict=True
        )
    }


def _measured(value: float, error: float, *, sign: bool = False) -> str:
    return f"{value:{'+' if sign else ''}.2f} ± {error:.2f}"


def _metric(metric: Mapping[str, float] | None) -> str:
    return f"{metric['value']:.3f} ± {metric['standard_error']:.3f}" if metric else "–"
