"""`gelora compare`: tasks and methods in, results.jsonl, tables and a report out."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gelora.cli import loading
from gelora.cli.checks import check_flags
from gelora.cli.config import FLAGS, Config
from gelora.cli.console import Output
from gelora.cli.flags import LoraFlags
from gelora.cli.forwarding import OURS, settings_for_trainer, training_arguments
from gelora.cli.parsing import parse
from gelora.cli.values import as_arguments
from gelora.errors import ComparisonError, ConfigError
from gelora.lab.comparison import TaskSettings, compare
from gelora.lab.comparison.results import FAILURES_FILE
from gelora.lab.pages.comparison_page import write_comparison
from gelora.settings import RankSettings

_VARIABLE = frozenset({"rounding", "scaling"}) | {
    name for name, group in FLAGS.items() if group == "measurement" or name == "target_modules"
}


def main(config: Config) -> Output:
    """Run what is not there yet, and show the table.

    Raises:
        ComparisonError: Some runs failed; all others are done.
    """
    flags, folder = config.comparison, config.folder
    if "rank_rule" in config.extra:
        raise ConfigError(
            f"--rank_rule {config.extra['rank_rule']} is for gelora run: here each of --methods "
            "has its own rule, as gelora-paper has the paper's."
        )
    results = compare(
        tasks_of(config),
        folder,
        methods=flags.methods,
        budgets=flags.budgets,
        seeds=flags.seeds,
        learning_rates=flags.learning_rates,
        engine=flags.engine,
        processes=flags.processes,
        overwrite=config.run.overwrite,
    )
    report = write_comparison(folder) if results.rows else None
    if results.failures:
        first, count = results.failures[0], len(results.failures)
        at = " at ".join(part for part in (first.method, first.budget) if part)
        raise ComparisonError(
            f"{count} of what was to run failed, and {len(results.rows)} runs are there; the first "
            f"to fail, {first.task}{f', {at}' if at else ''}: {first.error.rstrip('.')}. All are "
            f"in {folder / FAILURES_FILE}, and the same call tries them again."
            + (f" What is there is in {report}." if report else "")
        )
    table = (folder / "table.md").read_text(encoding="utf-8")
    return Output(
        f"{table}\n{report}",
        {"rows": [asdict(row) for row in results.rows], "report": str(report)},
    )


def tasks_of(config: Config) -> list[TaskSettings]:
    """Return the settings of all tasks that the flags name.

    Raises:
        ConfigError: Some are not for a comparison, or unknown.
    """
    return [settings for name in config.comparison.tasks for settings in _settings(name, config)]


def _settings(name: str, config: Config) -> list[TaskSettings]:
    """Return the settings of a task, or those of each of its variants."""
    path = Path(name)
    is_file = path.suffix in (".yaml", ".yml")
    arguments = [
        f"--config={path}" if is_file else f"--task_name={name}",
        *as_arguments(config.extra),
        *([f"--seed={config.run.seed}"] if "seed" in config.named else []),
        f"--output_dir={config.folder / 'tasks' / path.stem}",  # no run's, whose flags would count
    ]
    if config.comparison.vary is None:
        return [task_settings(path.stem if is_file else name, parse("run", arguments))]
    varied, values = _variants(config.comparison.vary)
    return [
        replace(
            task_settings(
                path.stem if is_file else name,
                parse("run", [*arguments, f"--{varied}", *value.split("+")]),
            ),
            varied={varied: value},
        )
        for value in values
    ]


def _variants(vary: str) -> tuple[str, Sequence[str]]:
    """Read what is to be varied.

    >>> _variants("rounding=up,down")
    ('rounding', ['up', 'down'])
    """
    name, _, values = vary.partition("=")
    if name not in _VARIABLE or not all(values.split(",")):
        raise ConfigError(
            f"--vary {vary} is not of the form NAME=VALUE,VALUE with one of "
            f"{', '.join(sorted(_VARIABLE))}."
        )
    return name, values.split(",")


def task_settings(name: str, config: Config) -> TaskSettings:
    """Return a task's settings out of the flags of a run.

    Raises:
        ConfigError: They set what a method decides, or what no comparison does.
    """
    _check(name, config)
    arguments = training_arguments(config)
    if arguments.load_best_model_at_end:
        raise ConfigError(
            f"The task {name} asks for load_best_model_at_end, which would choose a model by the "
            "validation set that is reported: leave it out."
        )
    return TaskSettings(
        name=name,
        data=loading.data_arguments(config),
        model=loading.model_source(config),
        max_length=config.data.max_length,
        measurement=config.measurement,
        ranks=replace(config.ranks, rank_rule=None, budget=None),
        training=settings_for_trainer(config, arguments),
        batch_size=config.evaluation.per_device_eval_batch_size,
    )


def _check(name: str, config: Config) -> None:
    """Refuse what a method decides, and what no comparison does; a rule or budget is a method's."""
    check_flags("run", config)
    values: dict[str, tuple[Any, Any]] = {
        **{flag: (getattr(config.training, flag), None) for flag in sorted(OURS)},
        "keep_hidden_states": (config.states.keep_hidden_states, False),
    }
    for flags, defaults in ((config.lora, LoraFlags()), (config.ranks, RankSettings())):
        usual = asdict(defaults)
        values |= {flag: (value, usual[flag]) for flag, value in asdict(flags).items()}
    for flag in ("target_modules", "rank_rule", "budget", "rounding", "scaling"):
        del values[flag]
    for flag, (value, usual) in values.items():
        if value != usual:
            raise ConfigError(
                f"The task {name} sets {flag} to {value}, which no comparison does: leave it out, "
                "and name methods that differ in what is to be compared."
            )
