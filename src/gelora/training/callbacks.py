"""A callback that shows the plan beside the training curves, and how dimensions change in training.

It logs through the Trainer, to wherever that reports; what it measures changes no step of training.
"""

import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from transformers import (
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from gelora.dimension.profile import DimensionProfile
from gelora.errors import ConfigError, GeloraWarning, HiddenStatesError
from gelora.hidden_states import measure_dimensions
from gelora.hidden_states.batches import Texts
from gelora.progress import SECONDS
from gelora.ranks import RankPlan

logger = logging.getLogger(__name__)


class DimensionCallback(TrainerCallback):
    """Log the planned ranks, the measured dimensions and, if asked, those of the model in training.

    The names are `gelora/rank/block_01` and `gelora/dimension/block_01` for every block in the
    order they run, `block_01/attention` and `block_01/mlp` for halves of blocks, and
    `gelora/dimension/embeddings`. It works with `transformers.Trainer` and TRL's trainers:

        trainer.add_callback(DimensionCallback(trainer, plan, profile, texts=texts, every=100))

    Training goes on bit for bit as it would without: a measurement draws no number from torch's
    generators and leaves every module in its mode. It costs a forward pass of all texts measured
    and the search for neighbours. Processes that train together measure together. Parameters that
    are sharded over processes (FSDP, DeepSpeed ZeRO-3) cannot be measured.

    Args:
        trainer: The one that the callback is added to, and that it logs through.
        plan: Its ranks are logged before the first step.
        profile: Its dimensions are, too. What is measured later is measured as it was: as many
            texts, pooled and read alike, by the same estimator and seed.
        texts: What is measured again, as `measure_dimensions` takes them.
        every: Steps between two measurements; None for none.
        **measuring: Other settings of `measure_dimensions`, such as `max_length`.

    Raises:
        ConfigError: `every` is below 1, or there are no texts to measure.
    """

    def __init__(
        self,
        trainer: Trainer,
        plan: RankPlan,
        profile: DimensionProfile | None = None,
        *,
        texts: Texts | None = None,
        every: int | None = None,
        **measuring: Any,
    ) -> None:
        if every is not None and every < 1:
            raise ConfigError(f"every must be at least 1 step. Got {every}.")
        if every is not None and texts is None:
            raise ConfigError(f"Measuring every {every} steps needs texts: pass texts=.")
        self.trainer, self.plan, self.profile = trainer, plan, profile
        self.texts, self.every = texts, every
        self.measuring = {**_settings_of(profile), **measuring}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Log the plan, unless training is resumed."""
        if state.global_step > 0:
            return
        values = _named("rank", self.plan.sublayers, self.plan.ranks, blocks=self.plan.blocks)
        if self.profile is not None:
            values |= dimensions_by_name(self.profile)
        self._log(values, control)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure the model as it is now."""
        if self.every is None or self.texts is None or state.global_step % self.every:
            return
        tokenizer = self.trainer.processing_class
        model = self.trainer.model
        if not isinstance(tokenizer, PreTrainedTokenizerBase) or model is None:
            raise ConfigError(
                "Measuring in training needs a tokenizer, and the Trainer's processing_class is a "
                f"{type(tokenizer).__name__}: pass processing_class=tokenizer."
            )
        try:
            # What there is to warn of was said when the plan's profile was measured.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", GeloraWarning)
                found = measure_dimensions(model, tokenizer, self.texts, **self.measuring)
        except HiddenStatesError as error:  # no reason to end a training
            logger.warning("Nothing was measured at step %d: %s", state.global_step, error)
        else:
            self._log(dimensions_by_name(found), control)

    def _log(self, values: dict[str, float], control: TrainerControl) -> None:
        """Log through the Trainer, and leave what this step was to log besides."""
        is_due = control.should_log
        # Not by a subclass's own log(): TRL's would hand out its running means at this step.
        Trainer.log(self.trainer, values)
        control.should_log = is_due


class ProgressCallback(TrainerCallback):
    """Log how far training has come every ten seconds, where no bar is shown."""

    def __init__(self) -> None:
        self._began = self._told = time.monotonic()
        self._first_step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin to count."""
        self._began = self._told = time.monotonic()
        self._first_step = state.global_step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Log a line if it is time to."""
        now = time.monotonic()
        if now - self._told < SECONDS or not state.is_world_process_zero:
            return
        self._told = now
        done = state.global_step - self._first_step
        left = (now - self._began) / done * (state.max_steps - state.global_step)
        logger.info(
            "Step %d of %d, about %d s left.", state.global_step, state.max_steps, round(left)
        )


def dimensions_by_name(profile: DimensionProfile) -> dict[str, float]:
    """Return the dimension of every layer, by the name it is logged under."""
    return _named("dimension", profile.layers, profile.dimensions, blocks=profile.blocks)


def _named(
    kind: str, places: Sequence[str], values: Sequence[float], *, blocks: Sequence[str]
) -> dict[str, float]:
    numbers = {path: f"block_{index:02d}" for index, path in enumerate(blocks, start=1)}
    named: dict[str, float] = {}
    for place, value in zip(places, values, strict=True):
        path, slash, half = place.partition("/")
        named[f"gelora/{kind}/{numbers.get(path, path)}{slash}{half}"] = value
    return named


def _settings_of(profile: DimensionProfile | None) -> dict[str, Any]:
    """Return how a profile was measured, as `measure_dimensions` takes it."""
    if profile is None:
        return {}
    return {
        "settings": replace(profile.settings, num_samples=profile.num_texts, precision=None),
        "seed": profile.seed,
    }
