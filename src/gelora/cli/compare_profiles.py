"""`gelora compare-profiles`: two dimension_profile.json in, a table of what differs out."""

from pathlib import Path
from typing import Any

from gelora.artifacts import PROFILE_FILE, locate, read_json, write_json
from gelora.cli.config import Config
from gelora.cli.console import Output
from gelora.dimension.profile import DimensionProfile
from gelora.errors import ConfigError, OutputExistsError
from gelora.ranks import ProfileComparison, compare_profiles
from gelora.ranks.advice import CERTAINTY_HEADINGS, certainty
from gelora.ranks.comparing import Change
from gelora.report.text import table, with_error

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
    comparison = compare_profiles(
        before,
        after,
        estimator=pair.by_estimator,
        settings=config.ranks,
    )
    if config.run.output_dir is not None:
        _keep(comparison.to_dict(), Path(config.run.output_dir), overwrite=config.run.overwrite)
    return Output(comparison_text(comparison), comparison.to_dict())


def comparison_text(comparison: ProfileComparison) -> str:
    """Return a table of the layers, one of the sublayers, and what both come to."""
    layers = zip(comparison.before.layers, comparison.dimensions, strict=True)
    first, second = comparison.plans
    sure = CERTAINTY_HEADINGS[first.settings.rule]
    sublayers = [
        [
            *_row(sublayer, comparison.increments[i], sign=True),
            *(str(first.ranks[i]), certainty(first, i), str(second.ranks[i]), certainty(second, i)),
            f"{first.parameters[i] - second.parameters[i]:,}",
        ]
        for i, sublayer in enumerate(comparison.before.sublayers)
    ]
    before, after = map(str, comparison.total_ranks)
    total = ["total", "", "", "", before, "", after, "", f"{comparison.parameters_saved:,}"]
    unit = "block" if comparison.before.settings.granularity == "block" else "sublayer"
    ranks = ["rank before", sure, "rank after", sure, "parameters saved"]
    return "\n".join(
        [
            table(
                ["layer", "dimension before", "dimension after", "change"],
                [_row(layer, change) for layer, change in layers],
            ),
            "",
            table(
                [unit, "increment before", "increment after", "change", *ranks], [*sublayers, total]
            ),
            "",
            _measured_on(comparison),
            _moved(comparison),
            _totals(comparison),
        ]
    )


def _row(name: str, change: Change, *, sign: bool = False) -> list[str]:
    return [
        name,
        with_error(change.before, change.before_standard_error, decimals=2, sign=sign),
        with_error(change.after, change.after_standard_error, decimals=2, sign=sign),
        with_error(change.difference, change.standard_error, decimals=2, sign=True),
    ]


def _measured_on(comparison: ProfileComparison) -> str:
    before, settings = comparison.before, comparison.before.settings
    return (
        f"{before.num_used:,} samples before and {comparison.after.num_used:,} after, "
        f"{settings.states} states, {settings.pooling} pooling, {settings.estimator}."
    )


def _moved(comparison: ProfileComparison) -> str:
    layers, sublayers = (
        f"{sum(change.is_clear for change in changes)} of {len(changes)}"
        for changes in (comparison.dimensions, comparison.increments)
    )
    return (
        f"{layers} dimensions and {sublayers} increments change by more than two standard errors, "
        "taking the two sets of samples as independent."
    )


def _totals(comparison: ProfileComparison) -> str:
    (before, after), (first, second) = comparison.total_ranks, comparison.plans
    saved = comparison.parameters_saved
    difference = f"{abs(saved):,} {'fewer' if saved > 0 else 'more'}" if saved else "as many"
    return (
        f"Rule {first.settings.rule} asks for a total rank of {before} before and {after} after: "
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
