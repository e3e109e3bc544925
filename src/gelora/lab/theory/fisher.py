"""The empirical Fisher information of every block: F = (1/n) sum g g^T over labelled samples.

g is the gradient of log p(y|x) at the true label y, by one block's adapted weights or by their LoRA
factors. F has as many rows as there are parameters, and at most n eigenvalues that are not zero:
those of G G^T / n, with the n gradients as the rows of G. So F is never formed.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from jaxtyping import Float
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from gelora.errors import ArchitectureError, DataError, NonFiniteStatesError, RankError
from gelora.hidden_states.architectures import find_architecture, find_backbone, input_embedding
from gelora.hidden_states.forward import evaluation_mode
from gelora.hidden_states.module_tree import without_adapter
from gelora.lab.theory.likelihood import log_likelihood
from gelora.lab.theory.module_gradients import gradient_factors, gram_matrix
from gelora.lab.theory.record import BlockFisher, FisherOf, Stage
from gelora.lab.theory.spectra import Spectrum
from gelora.ranks.targets import select_modules

# Inputs and gradients held at once, over all samples: 1 GiB in float32.
MAX_NUMBERS = 2**28


class _Matrix(NamedTuple):
    """A weight, or a factor of its adapter, and the module that multiplies by it."""

    name: str
    block: str
    module: nn.Module
    in_features: int
    out_features: int


def block_fishers(
    model: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    of: FisherOf,
    stage: Stage,
    target_modules: str | Sequence[str] = "attention",
) -> tuple[BlockFisher, ...]:
    """Measure the empirical Fisher information of every block's parameters.

    F = (1/n) sum g g^T over n samples, with g the gradient of log p(y|x) at the true label, as
    `log_likelihood` says, by the weights to adapt or by LoRA's factors A and B. Its rank is at
    most n, and often just n: it then says how many samples there were, and no more than that of
    the model. As training begins, LoRA's B is zero, and so is every gradient by A.

    Samples pass one at a time, forward and back. Where their inputs and gradients are too many to
    hold for all modules, they pass again for the others. Biases are left out. The model leaves as
    it came.

    Args:
        model: With a head; for "lora" with an adapter of PEFT's that is active and not merged.
        batches: One sample each: what the model takes, with the labels that its loss takes.
        of: "weights" of the modules to adapt, below their adapter if they have one; or "lora".
        stage: Before or after training, as the result is to say.
        target_modules: Whose "weights", as in `plan_ranks`; of "lora" the adapter says it.

    Returns:
        One per block that has such parameters, in the order of the blocks.

    Raises:
        ArchitectureError: The model has no blocks, or a module no part in its scores.
        DataError: There are no batches, or one is not a single labelled sample.
        NonFiniteStatesError: Gradients are NaN or infinite.
        RankError: There is no adapter at work, or `target_modules` names no module.
    """
    matrices = _lora_factors(model) if of == "lora" else _weights(model, target_modules)
    samples = _on_device(batches, model)
    if not samples:
        raise DataError("There are no batches to measure the Fisher information on.")
    grams = _gram_matrices(model, samples, matrices)
    found: list[BlockFisher] = []
    for block, group in groupby(matrices, key=lambda matrix: matrix.block):
        inside = list(group)
        size = sum(matrix.in_features * matrix.out_features for matrix in inside)
        gram = torch.stack([grams[matrix.name] for matrix in inside]).sum(dim=0)
        if not gram.isfinite().all():
            raise NonFiniteStatesError(
                f"{int((~gram.diag().isfinite()).sum())} of {len(samples)} samples have gradients "
                f"in {block} that are NaN or infinite: load the model with dtype float32."
            )
        found.append(
            BlockFisher(
                block=block,
                of=of,
                stage=stage,
                num_samples=len(samples),
                num_parameters=size,
                spectrum=_spectrum(gram, size),
            )
        )
    return tuple(found)


def _gram_matrices(
    model: nn.Module, samples: Sequence[Mapping[str, Tensor]], matrices: Sequence[_Matrix]
) -> dict[str, Float[Tensor, "samples samples"]]:
    """Return the inner products of the samples' gradients by every matrix."""
    grams: dict[str, Tensor] = {}
    num_tokens = sum(max(values.numel() for values in sample.values()) for sample in samples)
    for few in _in_rounds(matrices, num_tokens):
        modules = {matrix.name: matrix.module for matrix in few}
        with evaluation_mode(model), torch.enable_grad():
            factors = [
                gradient_factors(modules, lambda sample=sample: log_likelihood(model, sample))
                for sample in samples
            ]
        for name in modules:
            if not any(name in each for each in factors):
                raise ArchitectureError(
                    f"{name} has no part in what {type(model).__name__} says of any of "
                    f"{len(samples)} samples: leave it out of target_modules."
                )
            grams[name] = gram_matrix([each.pop(name, None) for each in factors]).cpu()
    return grams


def _in_rounds(matrices: Sequence[_Matrix], num_tokens: int) -> list[list[_Matrix]]:
    """Split into parts, in order, whose inputs and gradients can be held, of one matrix at least.

    Args:
        matrices: All.
        num_tokens: Of all samples together, or more.
    """
    rounds: list[list[_Matrix]] = []
    room = 0
    for matrix in matrices:
        numbers = num_tokens * (matrix.in_features + matrix.out_features)
        if numbers > room:
            rounds.append([])
            room = MAX_NUMBERS
        rounds[-1].append(matrix)
        room -= numbers
    return rounds


def _weights(model: nn.Module, target_modules: str | Sequence[str]) -> list[_Matrix]:
    architecture, backbone = find_architecture(model), find_backbone(model)
    return [
        _Matrix(
            name=module.name,
            block=architecture.blocks[module.block],
            module=without_adapter(backbone.get_submodule(module.name)),
            in_features=module.in_features,
            out_features=module.out_features,
        )
        for module in select_modules(architecture.modules, target_modules)
    ]


def _lora_factors(model: nn.Module) -> list[_Matrix]:
    """Return A and B of every active adapter in the blocks.

    Raises:
        RankError: There are none, or they are merged or switched off.
    """
    architecture, backbone = find_architecture(model), find_backbone(model)
    found: list[_Matrix] = []
    for module in architecture.modules:
        layer = backbone.get_submodule(module.name)
        if not isinstance(layer, LoraLayer):
            continue
        if layer.merged or layer.disable_adapters:
            state = "merged into its weight" if layer.merged else "switched off"
            raise RankError(
                f"The adapter of {module.name} is {state}, so that its factors do nothing: "
                "unmerge or enable it first."
            )
        for adapter in (name for name in layer.active_adapters if name in layer.lora_A):
            rank = layer.r[adapter]
            for part, factors, sides in (
                ("lora_A", layer.lora_A, (module.in_features, rank)),
                ("lora_B", layer.lora_B, (rank, module.out_features)),
            ):
                name = f"{module.name}.{part}.{adapter}"
                block = architecture.blocks[module.block]
                found.append(_Matrix(name, block, factors[adapter], *sides))
    if not found:
        raise RankError(
            f"{type(model).__name__} has no active LoRA adapter in its blocks: wrap it with "
            "peft.get_peft_model first, or measure of='weights'."
        )
    return found


def _on_device(
    batches: Iterable[Mapping[str, Tensor]], model: nn.Module
) -> list[dict[str, Tensor]]:
    device = input_embedding(find_backbone(model)).device
    # Weights offloaded by accelerate are on meta: its own hooks then move the inputs.
    move = device.type != "meta"
    return [
        {name: values.to(device) if move else values for name, values in batch.items()}
        for batch in batches
    ]


def _spectrum(gram: Float[Tensor, "samples samples"], num_parameters: int) -> Spectrum:
    """Return the eigenvalues of F; those beyond the samples' number are zeros, and left out."""
    eigenvalues = torch.linalg.eigvalsh(gram / len(gram)).flip(0).clamp(min=0.0)
    return Spectrum(tuple(eigenvalues[:num_parameters].tolist()), size=num_parameters)
