"""Pooled hidden states of every block, in one pass and in bounded memory.

Hooks pool each block's output over its tokens as the block returns, so the token states of one
block die when the next has run, as they do without hooks. The head does not run. Nothing is
tokenised or estimated here.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeGuard, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from gelora.architectures import Architecture, find_architecture, find_backbone, input_embedding
from gelora.errors import ArchitectureError, ConfigError, DataError

Pooling = Literal["mean", "last", "first"]
POOLINGS: tuple[Pooling, ...] = ("mean", "last", "first")


def hidden_states(
    model: nn.Module, batches: Iterable[Mapping[str, Tensor]], *, pooling: Pooling = "mean"
) -> list[Float[Tensor, "samples _"]]:
    """Run the backbone over batches and return the pooled state at every level.

    A level is the input of a stack's first block, or what a block returns: before any final norm
    of the model. Peak memory is that of the model's own forward pass on one batch, plus
    samples x width x (blocks + stacks) x 4 bytes in main memory.

    The model leaves as it came: mode of every submodule, hooks, gradients, devices, dtypes. It
    may be wrapped by PEFT (active adapters take part), quantised, spread over devices, and run
    under autocast.

    Args:
        model: With or without a head.
        batches: What the backbone takes: `input_ids` with `attention_mask`, or `pixel_values`;
            keys that it does not take (`labels`) are left out. For an encoder-decoder without
            `decoder_input_ids` the decoder reads the same tokens, shifted to the right.
        pooling: "mean" over the real tokens, or the "last" or "first" real token. Padding may be
            on either side.

    Returns:
        One tensor per level, float32 on the CPU, rows in the order of the batches. Overflow in
        half precision arrives as infinity; it is reported where dimensions are estimated.

    Raises:
        ArchitectureError: The model has no blocks, or runs one more than once or not at all.
        ConfigError: The pooling is unknown.
        DataError: A sequence has no real token, or there are no batches.
    """
    if pooling not in POOLINGS:
        raise ConfigError(f"pooling must be one of {', '.join(POOLINGS)}. Got {pooling!r}.")
    backbone, recorder = find_backbone(model), _Recorder(find_architecture(model), pooling)
    pooled: list[list[Tensor]] = [[] for _ in recorder.levels]
    with evaluation_mode(backbone), recorder.attached_to(backbone):
        for batch in batches:
            inputs = _inputs(backbone, batch)
            recorder.begin({**batch, **inputs})
            _run(backbone, inputs)
            for rows, row in zip(pooled, recorder.finish(), strict=True):
                rows.append(row)
    if not pooled[0]:
        raise DataError("There are no batches to measure: the texts are empty.")
    states = []
    for rows in pooled:  # one level is held twice, never all
        states.append(torch.cat(rows))
        rows.clear()
    return states


def pool(
    states: Float[Tensor, "batch tokens width"],
    mask: Bool[Tensor, "batch tokens"],
    pooling: Pooling,
) -> Float[Tensor, "batch width"]:
    """Turn each sequence's token states into one vector in float32.

    >>> states = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> mask = torch.tensor([[True, True, False]])
    >>> [pool(states, mask, pooling).item() for pooling in ("mean", "last", "first")]
    [2.0, 3.0, 1.0]
    """
    if pooling == "mean":
        # Padding is replaced, not multiplied by 0: it may hold NaN. Summed in float32: a sum of
        # finite float16 states can overflow.
        real = states.masked_fill(~mask[:, :, None], 0)
        return real.sum(dim=1, dtype=torch.float32) / mask.sum(dim=1, keepdim=True)
    tokens = mask.shape[1]
    # argmax finds the first True: of the mask, or of the mask read backwards.
    first, last = mask.int().argmax(dim=1), tokens - 1 - mask.int().flip(1).argmax(dim=1)
    rows = torch.arange(len(states), device=states.device)
    return states[rows, last if pooling == "last" else first].float()


class _Recorder:
    """Pools what every block is given or returns, for the batch at hand."""

    def __init__(self, architecture: Architecture, pooling: Pooling) -> None:
        self.stacks = architecture.stacks
        self.pooling: Pooling = pooling
        self.levels = level_names(architecture)
        self._masks: dict[str, Tensor | None] = {}
        self._states: dict[str, Tensor] = {}

    @contextmanager
    def attached_to(self, backbone: nn.Module) -> Iterator[None]:
        """Hook the blocks, and remove the hooks whatever happens."""
        handles = []
        try:
            for stack in self.stacks:
                embeddings = _embeddings_name(stack.name)
                before = self._before(embeddings, stack.name)
                first = backbone.get_submodule(stack.blocks[0])
                handles.append(first.register_forward_pre_hook(before, with_kwargs=True))
                for path in stack.blocks:
                    after = self._after(path, stack.name)
                    handles.append(backbone.get_submodule(path).register_forward_hook(after))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def begin(self, inputs: Mapping[str, Any]) -> None:
        """Forget the last batch and take the masks of the next, used by the model or not."""
        mask = inputs.get("attention_mask")
        decoder_mask = inputs.get("decoder_attention_mask")
        self._masks = {"": mask, "encoder": mask, "decoder": decoder_mask}
        self._states = {}

    def finish(self) -> list[Tensor]:
        """Return the batch's pooled states in the order of the levels.

        Raises:
            ArchitectureError: A block did not run.
        """
        missing = [level for level in self.levels if level not in self._states]
        if missing:
            raise ArchitectureError(
                f"{len(missing)} of {len(self.levels)} blocks did not run in a forward pass, the "
                f"first {missing[0]}: pass the part of the model that reads the texts."
            )
        return [self._states[level] for level in self.levels]

    def _before(self, level: str, stack: str) -> Callable[..., None]:
        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._record(level, stack, args[0] if args else kwargs["hidden_states"])

        return hook

    def _after(self, level: str, stack: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
            self._record(level, stack, output if isinstance(output, Tensor) else output[0])

        return hook

    def _record(self, level: str, stack: str, states: Tensor) -> None:
        if level in self._states:
            raise ArchitectureError(
                f"Block {level} ran more than once in a forward pass: its weights are shared "
                "between layers, so it has no single rank."
            )
        mask = self._masks[stack]
        if mask is None:
            mask = torch.ones(states.shape[:2], dtype=torch.bool)
        if mask.shape != states.shape[:2]:
            raise ArchitectureError(
                f"{level} has states of shape {tuple(states.shape)} for a mask of shape "
                f"{tuple(mask.shape)}: load the model with attn_implementation='sdpa' or 'eager', "
                "which keep (batch, tokens, width)."
            )
        mask = mask.to(states.device).bool()
        self._states[level] = pool(states, mask, self.pooling).cpu()


def level_names(architecture: Architecture) -> tuple[str, ...]:
    """Return the name of every level: each stack's embeddings, then its blocks."""
    return tuple(
        level
        for stack in architecture.stacks
        for level in (_embeddings_name(stack.name), *stack.blocks)
    )


def _embeddings_name(stack: str) -> str:
    return f"{stack}.embeddings" if stack else "embeddings"


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch off dropout and gradients, and give every submodule its own mode back.

    Under `no_grad`, not `inference_mode`: what a model caches must serve training later.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def _inputs(backbone: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what the backbone's forward takes, on the device of its embeddings."""
    known = inspect.signature(backbone.forward).parameters
    device = input_embedding(backbone).device
    inputs: dict[str, Any] = {
        # Weights offloaded by accelerate are on meta: its own hooks then move the inputs.
        name: values if device.type == "meta" else values.to(device)
        for name, values in batch.items()
        if name in known
    }
    if "attention_mask" in batch:
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        if 0 in lengths:
            raise DataError(
                f"{lengths.count(0)} of {len(lengths)} sequences of a batch have no real token, "
                f"the first in row {lengths.index(0)}: leave out empty texts."
            )
    if _is_encoder_decoder(backbone) and "decoder_input_ids" not in inputs:
        inputs |= _decoder_inputs(backbone, inputs)
    if "use_cache" in known:
        inputs["use_cache"] = False
    return inputs


def _run(backbone: nn.Module, inputs: Mapping[str, Any]) -> None:
    if not (_is_encoder_decoder(backbone) and backbone.get_output_embeddings()):
        backbone(**inputs)
        return
    # T5's conditional generation has no backbone apart, and its head would make logits of
    # batch x tokens x vocabulary: run the two parts.
    mask = inputs.get("attention_mask")
    encoded = backbone.get_encoder()(input_ids=inputs["input_ids"], attention_mask=mask)
    backbone.get_decoder()(
        input_ids=inputs["decoder_input_ids"],
        attention_mask=inputs.get("decoder_attention_mask"),
        encoder_hidden_states=encoded.last_hidden_state,
        encoder_attention_mask=mask,
        use_cache=False,
    )


def _is_encoder_decoder(backbone: nn.Module) -> TypeGuard[PreTrainedModel]:
    return isinstance(backbone, PreTrainedModel) and backbone.config.is_encoder_decoder


def _decoder_inputs(
    backbone: PreTrainedModel, inputs: Mapping[str, Tensor]
) -> dict[str, Int[Tensor, "batch tokens"]]:
    """Shift each sequence one to the right, within its real tokens, behind the start token."""
    start = backbone.config.decoder_start_token_id
    if start is None:
        raise ArchitectureError(
            f"{type(backbone).__name__} has no decoder_start_token_id in its config: set it, or "
            "pass decoder_input_ids."
        )
    tokens = inputs["input_ids"]
    mask = inputs.get("attention_mask", torch.ones_like(tokens))
    shifted = tokens.roll(1, dims=1)
    shifted[torch.arange(len(tokens)), mask.int().argmax(dim=1)] = cast("int", start)
    return {"decoder_input_ids": shifted, "decoder_attention_mask": mask}
