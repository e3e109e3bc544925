"""What `analysis.json` says, in tables of Markdown and, for the figures, in a sentence."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from one_run import MORE, TRAINED


def tables(metric: Mapping[str, Any], brier: Mapping[str, Any]) -> str:
    """Return the tables: what was seen and foretold of each task's blocks, and the correlations.

    Args:
        metric: What the tasks' own metrics say.
        brier: What the Brier score says.
    """
    parts: list[str] = []
    for name, task in metric["tasks"].items():
        parts += [
            seen_table(name, task),
            seen_table(name, brier["tasks"][name]),
            foretold_table(name, task),
        ]
    return "\n\n".join([*parts, correlation_table(metric, brier)]) + "\n"


def seen_table(name: str, task: Mapping[str, Any]) -> str:
    """Return what the sweep says of each block of a task by one measure."""
    rows = [
        [
            str(at + 1),
            *(f"{mean:.4f}" for mean in task["means"][at]),
            f"{task['best rank'][at]:.0f}",
            ", ".join(str(best[at]) for best in task["best rank by seed"]),
            f"{task['smallest close to best'][at]:.0f}",
            *(f"{value:+.4f} ± {error:.4f}" for value, error in _of_block(task["gains"], at)),
        ]
        for at in range(len(task["blocks"]))
    ]
    header = [
        "block",
        *(f"rank {rank}" for rank in task["ranks"]),
        "best",
        "best of each seed",
        "smallest close to best",
        *task["gains"],
    ]
    return _table(f"{name}, {task['measure'].replace('_', ' ')}", header, rows)


def foretold_table(name: str, task: Mapping[str, Any]) -> str:
    """Return what gelora says of each block of a task."""
    header, columns = ["block"], [[str(at + 1) for at in range(len(task["blocks"]))]]
    for texts in (TRAINED, MORE):
        header += [f"rank, {texts}", f"increment, {texts}"]
        columns.append([f"{rank:.0f}" for rank in task[f"rank, {texts}"]])
        pairs = zip(task[f"increment, {texts}"], task[f"increment error, {texts}"], strict=True)
        columns.append([f"{value:+.2f} ± {error:.2f}" for value, error in pairs])
    return _table(f"{name}, foretold", header, zip(*columns, strict=True))


def correlation_table(metric: Mapping[str, Any], brier: Mapping[str, Any]) -> str:
    """Return Spearman's correlation and its p of all that was foretold with all that was seen."""
    rows = [
        [one["foretold"], one["seen"], _spearman(one), _spearman(other)]
        for one, other in zip(metric["correlations"], brier["correlations"], strict=True)
    ]
    for seen, value in metric["repeatability"].items():
        alike = [_number(value), _number(brier["repeatability"][seen])]
        rows.append([f"{seen} of one seed", f"{seen} of another", *alike])
    return _table("Spearman", ["foretold", "seen", "by the metric", "by the Brier score"], rows)


def describe(found: Mapping[str, Any]) -> str:
    """Return what the figures show, in words and numbers."""
    said = [
        f"{name}: best ranks {_listed(task['best rank'])}, ranks by the paper's rule "
        f"{_listed(task[f'rank, {TRAINED}'])}, gains per doubling "
        + ", ".join(f"{gain:+.4f} ± {error:.4f}" for gain, error in task["gains"]["per doubling"])
        for name, task in found["tasks"].items()
    ]
    return "Of blocks from the first to the last. " + ". ".join(said) + "."


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return f"{title}:\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _of_block(gains: Mapping[str, Sequence[Sequence[float]]], at: int) -> list[Sequence[float]]:
    return [values[at] for values in gains.values()]


def _spearman(one: Mapping[str, Any]) -> str:
    if one["spearman"] is None:
        return _number(None)
    said = f"p = {one['p_value']:.2f}"
    if one["least_p_value"] > 0.05:
        said += f", the least there could be {one['least_p_value']:.2f}"
    return f"{_number(one['spearman'])} ({said})"


def _number(value: float | None) -> str:
    return "one of the two is the same everywhere" if value is None else f"{value:+.2f}"


def _listed(ranks: Sequence[float]) -> str:
    return ", ".join(f"{rank:.0f}" for rank in ranks)
