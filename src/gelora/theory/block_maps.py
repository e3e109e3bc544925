"""The derivatives of one block at one sample, as maps that are applied and never formed.

On one sample (one text, no padding) a block maps its input token states H, tokens x width, to
output token states f(H); all else that it is given (mask, positions, another stack's states) stays
as in the model's own forward pass. With P the pooling over the tokens and P+ its pseudo-inverse
(the least change of H that moves the pooled input by v: every token by v for "mean", that one token
for "last" and "first"):

    by input        P . Df(H) . P+                                     width x width
    by parameters   P . (derivative of f by the weights to adapt)      width x parameters

The block alone is copied, cast to float64 and run again on what it was given. Ranks are not known
here.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, jvp, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from gelora.errors import ArchitectureError, DataError
from gelora.model.architectures import find_architecture, find_backbone
from gelora.model.forward import evaluation_mode, forward_inputs, run_forward
from gelora.model.module_tree import without_adapter
from gelora.model.pooling import Pooling
from gelora.model.reading import did_not_run, ran_twice
from gelora.model.tracing import given_state, returned_state
from gelora.theory.range_finder import LinearMap
from gelora.theory.record import JacobianOf


@dataclass(frozen=True)
class BlockCall:
    """One block of a model and what it was given in the forward pass of one sample.

    Attributes:
        block: The block's path from the backbone's root.
        module: The model's own, not a copy.
        args: Its arguments.
        kwargs: Its named arguments.
    """

    block: str
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def block_calls(model: nn.Module, sample: Mapping[str, Tensor]) -> tuple[BlockCall, ...]:
    """Run the backbone on one sample and return what every block was given, in their order.

    The model leaves as it came: mode, hooks, gradients, dtypes.

    Args:
        model: With or without a head or adapters (active ones take part).
        sample: A batch of one sequence, without padding.

    Raises:
        ArchitectureError: A block ran more than once or not at all.
        DataError: There is more than one sequence, or padding.
    """
    raise NotImplementedError


def block_maps(
    call: BlockCall, *, modules: Sequence[str], pooling: Pooling
) -> dict[JacobianOf, LinearMap]:
    """Return a block's two Jacobians at one sample, in float64, as maps.

    Args:
        call: The block and what it was given.
        modules: Paths from the backbone's root of those to adapt; those of other blocks are left
            out.
        pooling: "mean", "last" or "first".

    Raises:
        ArchitectureError: Its weights are quantised or elsewhere, or torch has no derivative of
            what it does.
    """
    raise NotImplementedError
