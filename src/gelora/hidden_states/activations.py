"""Pooled hidden states of every layer, in one pass and in bounded memory.

Hooks pool each state over its tokens as it passes, so the token states of one block die when the
next has run, as they do without hooks. The head does not run.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gelora.errors import ArchitectureError, DataError
from gelora.hidden_states.architectures import find_architecture, find_backbone
from gelora.hidden_states.forward import evaluation_mode, forward_inputs, run_forward
from gelora.hidden_states.hook_points import (
    HookPoint,
    did_not_run,
    given_state,
    hook_points,
    ran_twice,
    returned_state,
)
from gelora.hidden_states.pooling import EVERYTHING, Runs, pool, token_runs
from gelora.settings import Granularity, Pooling, States, checked


class PooledBatch(NamedTuple):
    """The pooled states of one batch.

    Attributes:
        layers: One tensor per layer, in the order of `layer_names`, float32 on the CPU.
        num_tokens: Positions that went through the first block, padding included.
    """

    layers: list[Float[Tensor, "rows _"]]
    num_tokens: int


def hidden_states(
    model: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    pooling: Pooling = "mean",
    granularity: Granularity = "block",
    states: States = "raw",
) -> list[Float[Tensor, "samples _"]]:
    """Run the backbone over batches and return the pooled state at every layer.

    As `pooled_states`, whose batches it joins: samples x width x layers x 4 bytes.

    Returns:
        One tensor per layer, float32 on the CPU, rows in the order of the batches.

    Raises:
        DataError: There are no batches.
    """
    layers: list[list[Tensor]] = []
    for pooled in pooled_states(
        model, batches, pooling=pooling, granularity=granularity, states=states
    ):
        layers = layers or [[] for _ in pooled.layers]
        for rows, row in zip(layers, pooled.layers, strict=True):
            rows.append(row)
    if not layers:
        raise DataError("There are no batches to measure: the texts are empty.")
    joined: list[Tensor] = []
    for rows in layers:  # one layer is held twice, never all
        joined.append(torch.cat(rows))
        rows.clear()
    return joined


def pooled_states(
    model: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    pooling: Pooling = "mean",
    granularity: Granularity = "block",
    states: States = "raw",
) -> Iterator[PooledBatch]:
    """Run the backbone over batches and yield the pooled state at every layer, batch by batch.

    A layer is the input of a stack's first block, or what a block returns: before any final norm
    of the model. Peak memory is that of the model's own forward pass on one batch, plus the
    pooled rows.

    Between batches the model is as it came: mode of every submodule, hooks, gradients, devices,
    dtypes. It may be wrapped by PEFT (active adapters take part), quantised, spread over devices,
    and run under autocast.

    Args:
        model: With or without a head.
        batches: What the backbone takes: `input_ids` with `attention_mask`, or `pixel_values`;
            keys that it does not take (`labels`) are left out. For an encoder-decoder without
            `decoder_input_ids` the decoder reads the same tokens, shifted to the right.
        pooling: "mean" over the real tokens, or the "last" or "first" real token. Padding may be
            on either side.
        granularity: "block", or "sublayer" to read between the halves of each block, too.
        states: "raw", or "normalized" to read each as the norm that takes it on returns it.

    Yields:
        The states of one batch. Overflow in half precision arrives as infinity; it is reported
        where dimensions are estimated.

    Raises:
        ArchitectureError: The model has no blocks, or runs one more than once or not at all; or
            there is no state between its halves, or no norm that reads one.
        ConfigError: The pooling, granularity or states are unknown.
        DataError: A sequence has no real token.
    """
    checked("pooling", pooling, Pooling)
    checked("granularity", granularity, Granularity)
    checked("states", states, States)
    return _pooled_states(model, batches, pooling, granularity, states)


def _pooled_states(
    model: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    pooling: Pooling,
    granularity: Granularity,
    states: States,
) -> Iterator[PooledBatch]:
    architecture, backbone = find_architecture(model), find_backbone(model)
    points: tuple[HookPoint, ...] = ()
    for batch in batches:
        points = points or hook_points(
            backbone, architecture, batch, granularity=granularity, states=states
        )
        inputs = forward_inputs(backbone, batch)
        # Longformer and its kin fill up their last window, behind all tokens.
        config = getattr(backbone, "config", None)
        recorder = _Recorder(
            points,
            {**inputs, **batch},
            pooling,
            pads_inside=hasattr(config, "attention_window"),
            is_time_major=getattr(config, "model_type", None) == "xlnet",
            shorten=_shortening(backbone),
        )
        with evaluation_mode(backbone), recorder.attached_to(backbone):
            run_forward(backbone, inputs)
        yield recorder.finish()


class _Recorder:
    """Pools the state of every layer as one batch passes."""

    def __init__(
        self,
        points: tuple[HookPoint, ...],
        inputs: Mapping[str, Any],
        pooling: Pooling,
        *,
        pads_inside: bool = False,
        is_time_major: bool = False,
        shorten: Callable[[Tensor, int], Tensor] | None = None,
    ) -> None:
        self.points = points
        self._pads_inside, self._is_time_major = pads_inside, is_time_major
        self._shorten = shorten
        self.pooling: Pooling = pooling
        mask, decoder_mask = inputs.get("attention_mask"), inputs.get("decoder_attention_mask")
        self._masks = {"": mask, "encoder": mask, "decoder": decoder_mask}
        # Once a batch and before it runs: in a hook, a mask on a GPU would have to be waited for.
        self._runs = {stack: _runs(mask) for stack, mask in self._masks.items()}
        self._shapes: dict[str, torch.Size] = {}
        self._states: dict[str, Tensor] = {}
        self._num_tokens = 0

    @contextmanager
    def attached_to(self, backbone: nn.Module) -> Iterator[None]:
        """Hook the modules, and remove the hooks whatever happens."""
        with ExitStack() as hooks:
            for point in self.points:
                module = backbone.get_submodule(point.module)
                if point.side == "input":
                    before = self._before(point)
                    hooks.enter_context(module.register_forward_pre_hook(before, with_kwargs=True))
                else:
                    hooks.enter_context(module.register_forward_hook(self._after(point)))
            yield

    def finish(self) -> PooledBatch:
        """Return the batch's pooled states in the order of the layers.

        Raises:
            ArchitectureError: A block did not run.
        """
        layers = [point.layer for point in self.points]
        missing = [layer for layer in layers if layer not in self._states]
        if missing:
            raise did_not_run(missing, len(layers))
        # Only now, when all blocks have been started: a transfer waits for the GPU.
        states = [self._states[layer].cpu() for layer in layers]
        return PooledBatch(states, self._num_tokens)

    def _before(self, point: HookPoint) -> Callable[..., None]:
        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._record(point, cast("Tensor", given_state(args, kwargs)))

        return hook

    def _after(self, point: HookPoint) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
            self._record(point, cast("Tensor", returned_state(output)))

        return hook

    def _record(self, point: HookPoint, states: Tensor) -> None:
        if point.layer in self._states:
            raise ran_twice(point.layer)
        if point.is_flat:
            states = states.unflatten(0, self._shapes[point.stack])
        if self._is_time_major:
            states = states.transpose(0, 1)
        self._num_tokens = self._num_tokens or states.shape[:2].numel()
        self._shapes[point.stack] = states.shape[:2]
        mask = self._masks[point.stack]
        if mask is not None and self._shorten is not None and mask.shape[1] > states.shape[1]:
            mask = self._masks[point.stack] = self._shorten(mask, states.shape[1])
            self._runs[point.stack] = token_runs(mask)
        if mask is not None and self._pads_inside and states.shape[1] > mask.shape[1]:
            states = states[:, : mask.shape[1]]  # the model filled its last window by itself
        if mask is not None and mask.shape != states.shape[:2]:
            raise ArchitectureError(
                f"{point.layer} has states of shape {tuple(states.shape)} for a mask of shape "
                f"{tuple(mask.shape)}: the model does not keep a state for each token. Load it "
                "with attn_implementation='eager' if it was loaded with another, or measure "
                "another model."
            )
        if states.ndim != 3:
            raise ArchitectureError(
                f"{point.layer} has states of shape {tuple(states.shape)}, and measuring needs "
                "(samples, tokens, width): give a model whose blocks return that."
            )
        self._states[point.layer] = pool(states, self._runs[point.stack], self.pooling)


def _shortening(backbone: nn.Module) -> Callable[[Tensor, int], Tensor] | None:
    """Return how a model of audio turns a mask of samples into one of frames, if it does."""
    method = getattr(backbone, "_get_feature_vector_attention_mask", None)
    if method is None:
        return None
    parameters = inspect.signature(method).parameters
    # The blocks come before the adapter that some models put at the end to shorten more.
    options = {"add_adapter": False} if "add_adapter" in parameters else {}
    return lambda mask, length: method(length, mask.long(), **options)


def _runs(mask: Tensor | None) -> Runs:
    return EVERYTHING if mask is None else token_runs(mask)
