"""EVA (Paischer et al. 2024, arXiv 2410.07170): ranks and A's directions from the layers' inputs.

A starts as the principal directions of the inputs of each module on the training data. Of twice as
many directions as there are ranks (rho = 2), those that explain the most variance are kept over all
modules together, so that ranks move to where the inputs vary most. The search is PEFT's own.
"""

import io
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from functools import partial
from itertools import islice
from typing import Any

from peft import EvaConfig, LoraConfig, PeftModel
from peft.tuners.lora.eva import (
    initialize_lora_eva_weights,
    prepare_layer_inputs_fn_language_modeling,
    prepare_model_inputs_fn_language_modeling,
)
from torch import Size as Shape
from torch import Tensor
from transformers import PreTrainedModel

from gelora.adapters import adapter_ranks
from gelora.errors import DataError, HiddenStatesError
from gelora.lab.baselines.method import Applied, Method, Setting, Size, nearest_size
from gelora.lab.baselines.uniform import (
    adapted_modules,
    largest_rank,
    rank_parameters,
    uniform_lora,
)

RHO = 2
"""Directions looked for, per rank to give: PEFT's default, and the paper's."""

MAX_BATCHES = 1000
"""PEFT goes round these until no direction turns any more; they are all in memory."""

MAX_PASSES = 5000
"""After so many batches something is amiss; PEFT by itself would go on for ever."""


def with_directions(wrap: Callable[[], PeftModel], setting: Setting) -> Applied:
    """Put on an adapter, and set A, and with rho above 1 the ranks, by its modules' inputs.

    Args:
        wrap: Returns a model with an adapter of `init_lora_weights="eva"`.
        setting: Its batches are looked at.

    Raises:
        DataError: There are no batches.
        HiddenStatesError: The directions do not come to rest.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "lora with eva initialization")  # advice for large ranks
        model = wrap()
    start = time.perf_counter()
    with_labels = setting.problem == "instruction_tuning"  # they say which tokens count
    batches = [
        {name: values for name, values in batch.items() if with_labels or name != "labels"}
        for batch in islice(setting.batches(), MAX_BATCHES)
    ]
    if not batches:
        raise DataError("EVA takes its directions from training batches, and there are none.")
    forward = _CountedForward()
    with redirect_stdout(io.StringIO()):  # PEFT prints of every input that it leaves out
        initialize_lora_eva_weights(
            model,
            batches,
            forward_fn=forward,
            prepare_model_inputs_fn=_real_tokens,
            prepare_layer_inputs_fn=_states_of_tokens,
            show_progress_bar=False,
        )
    config = model.peft_config["default"]
    assert isinstance(config, LoraConfig)
    config.target_modules = sorted(config.target_modules or ())  # PEFT's may be a set
    return Applied(
        model,
        ranks=adapter_ranks(model),
        selection_seconds=time.perf_counter() - start,
        forward_tokens=forward.tokens,
    )


class _CountedForward:
    """One forward pass, counted, as PEFT calls it."""

    def __init__(self) -> None:
        self.passes = 0
        self.tokens = 0

    def __call__(self, model: PeftModel, inputs: Mapping[str, Tensor]) -> Any:
        if self.passes == MAX_PASSES:
            raise HiddenStatesError(
                f"EVA's directions still turn after {MAX_PASSES} batches, the last of "
                f"{inputs['input_ids'].numel()} tokens: give larger batches, or a smaller rank."
            )
        self.passes += 1
        self.tokens += inputs["input_ids"].numel()
        return model(**inputs)


def _real_tokens(inputs: dict[str, Tensor], config: LoraConfig) -> tuple[Shape, Tensor]:
    """Return the shape of a batch, and where it holds tokens that are no padding."""
    return inputs["input_ids"].shape, prepare_model_inputs_fn_language_modeling(inputs, config)


def _states_of_tokens(
    layer_input: tuple[Tensor, ...], tokens: tuple[Shape, Tensor], name: str
) -> Tensor:
    """Return a module's inputs at the real tokens, and none where its input is not the batch.

    DeBERTa sends its embeddings of relative positions through the query's and key's weights too.
    """
    shape, positions = tokens
    states = layer_input[0]
    if states.shape[:2] != shape:
        return states.new_empty(0, states.shape[-1])
    return prepare_layer_inputs_fn_language_modeling(states, positions, name)


def _size(model: PreTrainedModel, budget: int, setting: Setting) -> Size:
    """Return the uniform rank nearest to the budget: its ranks in all are EVA's to give."""
    modules = adapted_modules(model, setting)
    return nearest_size(
        budget,
        lambda rank: rank_parameters(modules, rank),
        largest=largest_rank(modules) // RHO,
    )


def _apply(model: PreTrainedModel, size: Size, setting: Setting) -> Applied:
    config = {"init_lora_weights": "eva", "eva_config": EvaConfig(rho=RHO)}
    return with_directions(partial(uniform_lora, model, size.value, setting, **config), setting)


METHODS: Mapping[str, Method] = {"eva": Method(name="eva", size=_size, apply=_apply)}
