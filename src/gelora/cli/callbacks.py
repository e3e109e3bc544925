"""The callbacks that the flags ask for: stopping early, and dimensions in training."""

from collections.abc import Callable
from functools import partial

from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments

from gelora.artifacts import PROFILE_FILE
from gelora.cli.config import Config
from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan
from gelora.tasks import TaskData, texts_of
from gelora.training import DimensionCallback
from gelora.training.callbacks import ProgressCallback


def callbacks_of(
    config: Config, data: TaskData, plan: RankPlan, *, arguments: TrainingArguments
) -> list[TrainerCallback | Callable[[Trainer], TrainerCallback]]:
    """Return the callbacks; the plan is logged wherever the Trainer reports to, if anywhere."""
    callbacks: list[TrainerCallback | Callable[[Trainer], TrainerCallback]] = []
    if arguments.disable_tqdm and not config.run.quiet:
        callbacks.append(ProgressCallback())
    patience = config.training.early_stopping_patience
    if patience is not None:
        callbacks.append(EarlyStoppingCallback(patience))
    steps = config.training.dimension_steps
    if steps is not None or arguments.report_to:
        logged = partial(
            DimensionCallback,
            plan=plan,
            profile=profile_of(config, plan),
            texts=texts_of(data.train),
            every=steps,
            measure_batch_tokens=config.measurement.measure_batch_tokens,
            max_length=config.data.max_length,
        )
        callbacks.append(logged)
    return callbacks


def profile_of(config: Config, plan: RankPlan) -> DimensionProfile | None:
    """Return the profile in the run's folder, if it is the one that the plan was made from."""
    if not (config.folder / PROFILE_FILE).exists():
        return None
    profile = DimensionProfile.from_pretrained(config.folder)
    return profile if profile.content_hash() == plan.profile_hash else None
