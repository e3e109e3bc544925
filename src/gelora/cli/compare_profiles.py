"""`gelora compare-profiles`: two dimension_profile.json in, a table of what differs out."""

from pathlib import Path
from typing import Any

from gelora.artifacts import PROFILE_FILE, locate, read_json, write_json
from gelora.cli.config import Config, rule_of
from gelora.cli.console import Output
from gelora.cli.tables import measured, table
from gelora.dimension.profile import DimensionProfile
from gelora.errors import ConfigError, OutputExistsError
from gelora.ranks import ProfileComparison, compare_profiles
from gelora.ranks.advice import CERTAINTY_HEADINGS, certainty
from gelora.ranks.comparing import Change

COMPARISON_FILE = "profile_comparison.json"
KIND = "profile_comparison"


def main(config: Config) -> Output:
    """Compare, and show dimensions, increments and ranks of both side by side.

    Raises:
        ConfigError: There are not two profiles, or they were measured in different ways.
        ModelMismatchError: They are of different architectures.
        OutputExistsError: The output folder holds another comparison.
    """
    pair = config.profile_pair
    names = pair.before, pair.after
    if None in names:
        raise ConfigError(
            "Two profiles are compared, and they are named first: gelora compare-profiles BEFORE "
            "AFTER [FLAGS]."
        )
    before, after = (
        DimensionProfile.from_pretrained(locate(str(name), PROFILE_FILE)) for name in names
    )
    found = compare_profiles(
        before,
        after,
        estimator=pair.by_estimator,
        target_modules=config.target_modules,
        **rule_of(config),
    )
    if config.run.output_dir is not None:
        _keep(found.to_dict(), Path(config.run.output_dir), overwrite=config.run.overwrite)
    return Output(comparison_text(found), found.to_dict())


def comparison_text(found: ProfileComparison) -> str:
    """Return a table of the levels, one of the steps, and what both come to."""
    levels = zip(found.before.levels, found.dimensions, strict=True)
    first, second = found.plans
    sure = CERTAINTY_HEADINGS[first.rule]
    steps = [
        [
            *_row(step, found.increments[i], sign=True),
            *(str(first.ranks[i]), certainty(first, i), str(second.ranks[i]), certainty(second, i)),
            f"{first.parameters[i] - second.parameters[i]:,}",
        ]
        for i, step in enumerate(found.before.steps)
    ]
    one, other = found.total_ranks
    total = ["total", "", "", "", str(one), "", str(other), "", f"{found.parameters_saved:,}"]
    unit = "block" if found.before.granularity == "block" else "step"
    ranks = ["rank before", sure, "rank after", sure, "parameters saved"]
    return "\n".join(
        [
            table(
                ["level", "dimension before", "dimension after", "change"],
                [_row(level, change) for level, change in levels],
            ),
            "",
            table([unit, "increment before", "increment after", "change", *ranks], [*steps, total]),
            "",
            _measured_on(found),
            _moved(found),
            _asked_for(found),
        ]
    )


def _row(name: str, change: Change, *, sign: bool = False) -> list[str]:
    return [
        name,
        measured(change.before, change.before_standard_error, sign=sign),
        measured(change.after, change.after_standard_error, sign=sign),
        measured(change.difference, change.standard_error, sign=True),
    ]


def _measured_on(found: ProfileComparison) -> str:
    before, after = found.before, found.after
    return (
        f"{before.num_used:,} samples before and {after.num_used:,} after, {before.states} states, "
        f"{before.pooling} pooling, {before.estimator}."
    )


def _moved(found: ProfileComparison) -> str:
    levels, steps = (
        f"{sum(change.is_clear for change in changes)} of {len(changes)}"
        for changes in (found.dimensions, found.increments)
    )
    return (
        f"{levels} dimensions and {steps} increments change by more than two standard errors, "
        "taking the two sets of samples as independent."
    )


def _asked_for(found: ProfileComparison) -> str:
    (one, other), (first, second) = found.total_ranks, found.plans
    saved = found.parameters_saved
    difference = f"{abs(saved):,} {'fewer' if saved > 0 else 'more'}" if saved else "as many"
    return (
        f"Rule {first.rule} asks for a total rank of {one} before and {other} after: "
        f"{first.trainable_parameters:,} parameters and {second.trainable_parameters:,}, "
        f"{difference}."
    )


def _keep(payload: dict[str, Any], folder: Path, *, overwrite: bool) -> None:
    path = folder / COMPARISON_FILE
    if path.exists() and not overwrite and read_json(path, kind=KIND) != payload:
        raise OutputExistsError(
            f"{path} is of other profiles or another rule. Give another --output_dir, or "
            "--overwrite to replace it."
        )
    write_json(path, payload, kind=KIND)
