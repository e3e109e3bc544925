"""Measure, plan and wrap in one call, as `peft.get_peft_model` wraps."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from peft import PeftModel, get_peft_model
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.adapters import lora_config, verify_ranks
from gelora.hidden_states.batches import Texts
from gelora.hidden_states.inputs import Inputs
from gelora.hidden_states.measure import measure_dimensions
from gelora.ranks.plan import plan_ranks
from gelora.settings import MeasurementSettings, RankSettings


@dataclass(frozen=True)
class GeloraConfig(RankSettings, MeasurementSettings):
    """How to measure, how to choose ranks, and what else `peft.LoraConfig` is told.

    All fields of `MeasurementSettings` and of `RankSettings` are fields of this class.

    Attributes:
        lora_arguments: Other arguments of `peft.LoraConfig`, such as `{"lora_dropout": 0.1}`.

    Raises:
        ConfigError: A value is of the wrong type or out of its range.

    Example:
        >>> config = GeloraConfig(budget="r=8", num_samples=1000)
        >>> config.measurement.num_samples, config.ranks.rule
        (1000, 'budget')
    """

    lora_arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def measurement(self) -> MeasurementSettings:
        """The settings of measuring."""
        return self._part(MeasurementSettings)

    @property
    def ranks(self) -> RankSettings:
        """The settings of planning."""
        return self._part(RankSettings)

    def _part(self, kind: type[Any]) -> Any:
        return kind(**{setting.name: getattr(self, setting.name) for setting in fields(kind)})


def get_gelora_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    texts: Texts | Inputs,
    config: GeloraConfig | None = None,
    *,
    max_length: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> PeftModel:
    """Measure a model on texts or other inputs, plan its ranks, and wrap it with PEFT.

    It is `measure_dimensions`, `plan_ranks`, `lora_config`, `peft.get_peft_model` and
    `verify_ranks`, one after the other.

    Args:
        model: With or without a head, not yet wrapped.
        tokenizer: The model's own; None with batches of inputs.
        texts: Texts or a `DataLoader` of inputs, as for `measure_dimensions`.
        config: How to measure and to plan; by default `GeloraConfig()`.
        max_length: Tokens kept of each text; by default what the tokenizer and the model take.
        seed: Chooses the texts.
        progress: Whether to show a bar, as for `measure_dimensions`.

    Returns:
        PEFT's model, with the attributes `dimension_profile` and `rank_plan`.

    Raises:
        GeloraError: As the functions that it calls.
    """
    config = config or GeloraConfig()
    profile = measure_dimensions(
        model,
        tokenizer,
        texts,
        config.measurement,
        ranks=lambda measured: plan_ranks(measured, config.ranks).ranks,
        max_length=max_length,
        target_modules=config.target_modules,
        seed=seed,
        progress=progress,
    )
    plan = plan_ranks(profile, config.ranks)
    wrapped = get_peft_model(model, lora_config(model, plan, **config.lora_arguments))
    verify_ranks(wrapped, plan)
    vars(wrapped).update(dimension_profile=profile, rank_plan=plan)
    return wrapped
