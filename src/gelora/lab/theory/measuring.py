"""Measure all terms of the theorem on a model, before training and with a trained adapter."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, TrainingArguments, set_seed

from gelora.dimension.profile import DimensionProfile
from gelora.hidden_states.source import ModelSource
from gelora.lab.theory.fisher import block_fishers
from gelora.lab.theory.jacobian import block_jacobians
from gelora.lab.theory.record import BlockFisher, Stage, TheoryRecord
from gelora.lab.theory.settings import TheorySettings
from gelora.ranks import RankPlan
from gelora.settings import Pooling
from gelora.tasks import TaskData, texts_of
from gelora.tasks.labelled_batches import labelled_batches
from gelora.training.train import wrap

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TheoryMeasurement:
    """The model, the data and the settings that the terms are measured with.

    Attributes:
        source: The model, and how to load it.
        data: The texts that the profile was measured on.
        plan: The ranks; those of the trained adapter, if there is one.
        settings: What is measured, and how far.
        arguments: Samples are drawn as in this training; None for data without labels, which get
            no Fisher information.
        target_modules: Modules whose weights count, as in `plan_ranks`.
        max_length: Tokens after which a text is cut.
        seed: Chooses the samples, and initial values as in training.
        device: Where the model runs.
    """

    source: ModelSource
    data: TaskData
    plan: RankPlan
    settings: TheorySettings
    arguments: TrainingArguments | None
    target_modules: str | Sequence[str]
    max_length: int
    seed: int
    device: torch.device

    def before_training(
        self,
        profile: DimensionProfile,
        *,
        pooling: Pooling | None,
        lora_kwargs: Mapping[str, Any],
        progress: bool = False,
    ) -> TheoryRecord:
        """Measure the Jacobians and, with labels, the Fisher information of a fresh adapter.

        Args:
            profile: The dimensions that the record is compared with.
            pooling: How a sequence becomes one vector, as in `measure_dimensions`.
            lora_kwargs: Settings of LoRA that the ranks leave open.
            progress: Show a bar on stderr.
        """
        settings = self.settings
        logger.info(
            "Measuring the Jacobians of every block at %d texts.", settings.jacobian_samples
        )
        began = time.perf_counter()
        model, tokenizer = self.source.load(device=self.device, task=None)
        jacobians = block_jacobians(
            model,
            tokenizer,
            texts_of(self.data.train),
            target_modules=self.target_modules,
            pooling=pooling,
            num_samples=settings.jacobian_samples,
            max_rank=settings.jacobian_rank,
            max_length=self.max_length,
            tolerance=settings.tolerance,
            seed=self.seed,
            progress=progress,
        )
        del model
        seconds = {"jacobians": time.perf_counter() - began}
        fishers: tuple[BlockFisher, ...] = ()
        if self.arguments is not None:
            began = time.perf_counter()
            set_seed(self.seed)  # of a new head, as in training
            data = self.data
            with_head, tokenizer = self.source.load(
                device=self.device,
                task=data.problem,
                num_labels=data.num_labels,
                label_names=data.label_names,
            )
            set_seed(self.seed)  # of A's initial values, as in training
            adapted = wrap(with_head, self.plan, data.problem, **lora_kwargs)
            fishers = self._fishers(adapted, tokenizer, self.arguments, stage="before")
            seconds["fisher"] = time.perf_counter() - began
        return TheoryRecord(
            tolerance=settings.tolerance,
            seed=self.seed,
            jacobians=jacobians,
            fishers=fishers,
            updates=(),
            fingerprint=profile.fingerprint,
            profile_hash=profile.content_hash(),
            adapter_sha256=None,
            seconds=seconds,
        )

    def with_trained_fishers(
        self, theory: TheoryRecord, adapted: PeftModel, tokenizer: PreTrainedTokenizerBase
    ) -> TheoryRecord:
        """Add the Fisher information of a trained adapter; data without labels have none."""
        if self.arguments is None:
            return theory
        began = time.perf_counter()
        fishers = self._fishers(adapted, tokenizer, self.arguments, stage="after")
        spent = theory.seconds.get("fisher", 0.0) + time.perf_counter() - began
        seconds = {**theory.seconds, "fisher": spent}
        return replace(theory, fishers=theory.fishers + fishers, seconds=seconds)

    def _fishers(
        self,
        adapted: PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        arguments: TrainingArguments,
        *,
        stage: Stage,
    ) -> tuple[BlockFisher, ...]:
        logger.info("Measuring the Fisher information %s training.", stage)
        batches = list(
            labelled_batches(
                adapted,
                tokenizer,
                self.data,
                arguments=arguments,
                max_length=self.max_length,
                num_rows=self.settings.fisher_samples,
                seed=self.seed,
            )
        )
        targets = self.target_modules
        return (
            *block_fishers(adapted, batches, of="weights", stage=stage, target_modules=targets),
            *block_fishers(adapted, batches, of="lora", stage=stage, target_modules=targets),
        )


def without_adapter(theory: TheoryRecord) -> TheoryRecord:
    """Return a record without what rests on a trained adapter."""
    fishers = tuple(fisher for fisher in theory.fishers if fisher.stage == "before")
    return replace(theory, fishers=fishers, updates=(), adapter_sha256=None)
