"""The empirical Fisher information of every block: F = (1/n) sum g g^T over labelled samples.

g is the gradient of log p(y|x) at the true label y, by one block's adapted weights or by their LoRA
factors. F has as many rows as there are parameters, and at most n eigenvalues that are not zero:
those of G G^T / n, with the n gradients as the rows of G. So F is never formed. Nor is a gradient
kept: by a weight it is the sum over tokens of delta a^T, with a the module's input and delta the
gradient by its output.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from gelora.lab.theory.record import BlockFisher, FisherOf, Stage
from gelora.lab.theory.spectra import Spectrum
from gelora.likelihood import log_likelihood
from gelora.ranks.targets import select_modules

MAX_NUMBERS = 2**28
"""Most inputs and gradients held at once, over all samples: 1 GiB in float32."""

MAX_TILE = 2**24
"""Most numbers in the part of all samples' gradients that is formed at once: 128 MiB."""


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
    most n. Where it is n, it only tells how many samples there were. Before training LoRA's B is
    zero, and so is every gradient by A.

    Samples pass one at a time, forward and back, and once more for some of the modules where all
    inputs and gradients would not fit in memory. Biases are left out. The model is left unchanged.

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
    fishers: list[BlockFisher] = []
    for block, group in groupby(matrices, key=lambda matrix: matrix.block):
        inside = list(group)
        size = sum(matrix.in_features * matrix.out_features for matrix in inside)
        gram = torch.stack([grams[matrix.name] for matrix in inside]).sum(dim=0)
        if not gram.isfinite().all():
            raise NonFiniteStatesError(
                f"{int((~gram.diag().isfinite()).sum())} of {len(samples)} samples have gradients "
                f"in {block} that are NaN or infinite: load the model with dtype float32."
            )
        fishers.append(
            BlockFisher(
                block=block,
                of=of,
                stage=stage,
                num_samples=len(samples),
                num_parameters=size,
                spectrum=_spectrum(gram, size),
            )
        )
    return tuple(fishers)


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
            if not any(name in of_sample for of_sample in factors):
                raise ArchitectureError(
                    f"{name} has no part in what {type(model).__name__} says of any of "
                    f"{len(samples)} samples: leave it out of target_modules."
                )
            grams[name] = gram_matrix([of_sample.pop(name, None) for of_sample in factors]).cpu()
    return grams


def _in_rounds(matrices: Sequence[_Matrix], num_tokens: int) -> list[list[_Matrix]]:
    """Split the matrices, in order, so that each part's inputs and gradients fit in memory.

    Args:
        matrices: All.
        num_tokens: Upper bound of the tokens of all samples together.
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
    matrices: list[_Matrix] = []
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
                matrices.append(_Matrix(name, block, factors[adapter], *sides))
    if not matrices:
        raise RankError(
            f"{type(model).__name__} has no active LoRA adapter in its blocks: wrap it with "
            "peft.get_peft_model first, or measure of='weights'."
        )
    return matrices


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
    """Return the eigenvalues of F without the zeros beyond the number of samples."""
    eigenvalues = torch.linalg.eigvalsh(gram / len(gram)).flip(0).clamp(min=0.0)
    return Spectrum(tuple(eigenvalues[:num_parameters].tolist()), size=num_parameters)


class GradientFactors(NamedTuple):
    """The gradient of one sample by one Linear's weight, (outputs, inputs): `deltas.T @ inputs`.

    Attributes:
        inputs: The module's inputs over all calls.
        deltas: The gradient by the module's outputs.
    """

    inputs: Float[Tensor, "tokens in_features"]
    deltas: Float[Tensor, "tokens out_features"]


def gradient_factors(
    modules: Mapping[str, nn.Module], value: Callable[[], Float[Tensor, ""]]
) -> dict[str, GradientFactors]:
    """Return the gradient of a number by the weight of each module that has a part in it.

    Autograd is not asked for a weight's own gradient, so weights may be frozen or quantised.

    Args:
        modules: Linear or Conv1D, or what quantisation puts in their place.
        value: Runs the modules and returns the number, with its graph.
    """
    with _watching(modules) as calls:
        number = value()
    if not number.requires_grad:
        return {}
    probes = [probe for _, _, probe in calls]
    calls_of: dict[str, list[GradientFactors]] = {name: [] for name in modules}
    gradients = torch.autograd.grad(number, probes, allow_unused=True)
    for (name, inputs, _), gradient in zip(calls, gradients, strict=True):
        if gradient is not None:
            calls_of[name].append(GradientFactors(_by_token(inputs), _by_token(gradient)))
    return {
        name: GradientFactors(*(torch.cat(sides) for sides in zip(*parts, strict=True)))
        for name, parts in calls_of.items()
        if parts
    }


def gram_matrix(
    samples: Sequence[GradientFactors | None],
) -> Float[Tensor, "samples samples"]:
    """Return the inner products of all samples' gradients by one weight, in float64.

    Gradients are formed some rows at a time, to save memory.

    Args:
        samples: None where the module had no part: the gradient is zero.
    """
    there = [index for index, sample in enumerate(samples) if sample is not None]
    factors = [sample for sample in samples if sample is not None]
    device = factors[0].inputs.device
    products = torch.zeros(len(there), len(there), dtype=torch.float64, device=device)
    num_inputs, num_outputs = factors[0].inputs.shape[1], factors[0].deltas.shape[1]
    num_rows = max(MAX_TILE // (len(there) * num_inputs), 1)
    for start in range(0, num_outputs, num_rows):
        rows = slice(start, start + num_rows)
        part = torch.stack(
            [(deltas[:, rows].double().T @ inputs.double()).flatten() for inputs, deltas in factors]
        )
        products += part @ part.T
    gram = torch.zeros(len(samples), len(samples), dtype=torch.float64, device=device)
    gram[torch.tensor(there)[:, None], torch.tensor(there)] = products
    return gram


@contextmanager
def _watching(modules: Mapping[str, nn.Module]) -> Iterator[list[tuple[str, Tensor, Tensor]]]:
    """Record name, input and a zero added to the output of every call of the modules.

    The gradient by that zero is the gradient by the output. It exists even where nothing upstream
    requires gradients, or where later code writes into the output.
    """
    calls: list[tuple[str, Tensor, Tensor]] = []

    def hook_for(name: str) -> Callable[..., Tensor]:
        def hook(_module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            probe = torch.zeros_like(output, requires_grad=True)
            calls.append((name, args[0].detach(), probe))
            return output + probe

        return hook

    handles = [
        module.register_forward_hook(hook_for(name), prepend=True)
        for name, module in modules.items()
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _by_token(states: Float[Tensor, "*batch width"]) -> Float[Tensor, "tokens width"]:
    return states.reshape(-1, states.shape[-1])
