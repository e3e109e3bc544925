"""`gelora plan`: dimension_profile.json in, rank_plan.json out."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gelora.artifacts import PLAN_FILE, PROFILE_FILE, THEORY_FILE, locate
from gelora.cli.config import Config
from gelora.cli.console import Output, is_main_process
from gelora.cli.record import forget, source_flags, write_config
from gelora.cli.tables import rank_text
from gelora.dimension.profile import DimensionProfile
from gelora.errors import OutputExistsError
from gelora.ranks import RankPlan, plan_ranks
from gelora.ranks.advice import measurement_advice, plan_advice
from gelora.ranks.decision import learning_rate_advice, rank_decision

logger = logging.getLogger(__name__)


def main(config: Config) -> Output:
    """Plan, and show the rank of every block beside its dimension."""
    source = config.profile_source.profile
    profile = DimensionProfile.from_pretrained(locate(source or config.folder, PROFILE_FILE))
    adopt_profile(config, profile)
    inherited = source_flags(Path(source)) if source and Path(source).exists() else {}
    planned = plan(config, profile, verb="plan", inherited=inherited)
    return Output(plan_text(planned, profile), planned.to_dict())


def plan(
    config: Config,
    profile: DimensionProfile,
    *,
    verb: str,
    inherited: Mapping[str, Any] | None = None,
) -> RankPlan:
    """Return the plan of these flags, and leave it in the run's folder.

    Args:
        config: The flags.
        profile: The dimensions.
        verb: The verb that was called.
        inherited: The model and the texts of the run that the profile comes from.

    Raises:
        OutputExistsError: The folder holds another plan.
    """
    planned = plan_ranks(profile, config.ranks)
    if adopt_plan(config, planned):
        write_config(config, verb, inherited=inherited)
    return planned


def adopt_profile(config: Config, profile: DimensionProfile) -> None:
    """Keep a profile in the run's folder, where the report and the adapter look for it."""
    path = config.folder / PROFILE_FILE
    if path.exists():
        if DimensionProfile.from_pretrained(path).content_hash() == profile.content_hash():
            return
        if not config.run.overwrite:
            raise _exists(path)
    if not is_main_process():
        return
    if path.exists():
        from gelora.hidden_states.store import STATES_FOLDER, remove_states

        remove_states(config.folder / STATES_FOLDER)  # they belong to the profile that goes
    forget(config.folder, "measure")
    profile.save_pretrained(config.folder)


def adopt_plan(config: Config, planned: RankPlan) -> bool:
    """Keep a plan in the run's folder; return whether it was not there yet."""
    path = config.folder / PLAN_FILE
    if path.exists() and not config.run.overwrite:
        before = RankPlan.from_pretrained(path)
        if before.content_hash() != planned.content_hash():
            raise _exists(path, f": ranks {list(before.ranks)} there, {list(planned.ranks)} now")
        logger.info("%s is complete and unchanged.", path)
        return False
    if is_main_process():
        (config.folder / THEORY_FILE).unlink(missing_ok=True)  # measured with the plan that goes
        planned.save_pretrained(config.folder)
    return True


def plan_text(planned: RankPlan, profile: DimensionProfile) -> str:
    """Return the table of ranks, which ranks to use, and what to know about them."""
    decision = rank_decision(planned, profile)
    return "\n".join([rank_text(planned, profile), *decision, *plan_notes(planned, profile)])


def plan_notes(planned: RankPlan, profile: DimensionProfile) -> tuple[str, ...]:
    """Return the warnings about a plan and its dimensions, and the learning rates to try."""
    warnings = *plan_advice(planned, profile), *measurement_advice(profile)
    return *warnings, learning_rate_advice(planned)


def _exists(path: Path, difference: str = "") -> OutputExistsError:
    return OutputExistsError(
        f"{path} is of another run{difference}. Give another --output_dir, or --overwrite to "
        "replace it."
    )
