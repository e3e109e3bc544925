"""A model without its weights: what PEFT makes of it, and what one step of training keeps.

Nothing here computes anything: tensors have shapes and no values.
"""

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import PreTrainedModel

from gelora.errors import RankError

logger = logging.getLogger(__name__)


def outline_of(model: nn.Module) -> PreTrainedModel | None:
    """Return the same model on the meta device, or None where its class does not make the same.

    A model may have been changed since it was made, and some read values while they are made.
    """
    if not isinstance(model, PreTrainedModel):
        return None
    try:
        with torch.device("meta"):
            outline = type(model)(copy.deepcopy(model.config))
    except Exception as error:  # each model raises its own
        logger.debug("%s cannot be made without its weights: %s", type(model).__name__, error)
        return None
    modules, ours = (dict(tree.named_modules()).keys() for tree in (outline, model))
    return outline if modules == ours else None


def check_wrap(outline: PreTrainedModel, names: Sequence[str]) -> None:
    """Check that PEFT puts an adapter on each of these modules, and on nothing else.

    PEFT refuses some modules, and in some mixtures of experts it reads the names of dense layers
    as those of the experts. Better to know before measuring than after.

    Args:
        outline: On the meta device. It leaves with adapters.
        names: Full paths of the modules.

    Raises:
        RankError: PEFT refuses a module, or adapts others.
    """
    kind = type(outline).__name__
    config = LoraConfig(r=1, target_modules=sorted(names))
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they come again when the model is wrapped
            wrapped = get_peft_model(outline, config)
    except Exception as error:  # what PEFT raises differs from module to module
        reason = " ".join(str(error).split())
        raise RankError(
            f"PEFT does not adapt these modules of {kind} ({reason}): name others as "
            "target_modules."
        ) from error
    base = wrapped.get_base_model()
    adapted = {path for path, module in base.named_modules() if isinstance(module, LoraLayer)}
    missing, extra = sorted(set(names) - adapted), sorted(adapted - set(names))
    if missing or extra:
        raise RankError(
            f"Of the {len(names)} modules of {kind} to adapt, PEFT leaves out {len(missing)} and "
            f"adapts {len(extra)} others, the first {(missing + extra)[0]}: leave it out of "
            "target_modules."
        )


def step_bytes(
    outline: PreTrainedModel, names: Sequence[str], *, batch: int, tokens: int
) -> int | None:
    """Return the bytes that a training step keeps from its forward pass for the backward pass.

    In float32, or the format of the config, and without gradient checkpointing. The weights are
    not counted, nor are the factors of the adapter, which add little.

    Args:
        outline: As `outline_of` makes it; it stays as it is.
        names: Full paths of the modules that are adapted.
        batch: Texts of the step.
        tokens: Of each.

    Returns:
        None where the model reads values on its way, as some mixtures of experts do.
    """
    try:
        with _silence(), FakeTensorMode(allow_non_fake_inputs=True):
            model = type(outline)(copy.deepcopy(outline.config)).train().requires_grad_(False)
            ids = torch.zeros(batch, tokens, dtype=torch.long)
            return _kept_bytes(model, ids, names)
    except Exception as error:  # each model that reads values raises its own
        logger.debug("%s keeps an unknown number of bytes: %s", type(outline).__name__, error)
        return None


def _kept_bytes(model: PreTrainedModel, ids: Tensor, names: Sequence[str]) -> int:
    weights = {_storage(tensor) for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, Any] = {}  # storages, which stay alive so that no two have one address

    def keep(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in weights:
            kept[_storage(tensor)] = tensor.untyped_storage()
        return tensor

    def keep_input(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            keep(inputs[0])  # which the gradient of the adapter's first factor needs

    for name in names:
        model.get_submodule(name).register_forward_pre_hook(keep_input)
    model.get_input_embeddings().register_forward_hook(lambda *call: call[2].requires_grad_())
    decoder = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(input_ids=ids, **decoder)
    return sum(storage.nbytes() for storage in kept.values())


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep quiet what torch logs of operations that it cannot do without values."""
    noisy = logging.getLogger("torch._subclasses.fake_tensor")
    was = noisy.disabled
    noisy.disabled = True
    try:
        yield
    finally:
        noisy.disabled = was
