"""IncreLoRA: incremental parameter allocation (Zhang et al. 2023, arXiv 2308.12043).

The update of a weight is P diag(lambda) Q, kept near orthogonal by a penalty. Every module begins
with one triplet; at intervals the modules that are most important get more, until the budget is
spent. A module's importance is the sum of |w dL/dw| over the entries of its update, smoothed, times
how uncertain that is, as in AdaLoRA. "Advance learning" trains the vectors of the next triplets
before these are needed, and a restarted warm-up lets new ones begin slowly. At the end the lambdas
are multiplied into Q, and a plain LoRA is left.

The authors' code differs in three things: it divides the scale alpha/r by the rank of the moment,
which here is fixed; what is new starts a learning-rate schedule of its own, where here it warms up
only; and its penalty is of every vector alone, where here, as in AdaLoRA, of all in a module.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import torch
from accelerate.utils import reduce
from jaxtyping import Bool, Float, Int
from peft import PeftModel
from torch import Tensor, nn
from transformers import (
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from gelora.lab.baselines.gates import (
    GatedLayer,
    Gates,
    gated_layers,
    gated_lora,
    pruned,
    whole_ranks,
)
from gelora.lab.baselines.method import Applied, Method, Setting, Size
from gelora.lab.baselines.uniform import adapted_modules, largest_rank, rank_parameters

# Of the authors' scripts for GLUE.
BETA = 0.85
ORTHOGONALITY = 0.1
STD = 0.02
# Theirs grow 12 to 42 times, over 40 to 60 % of the training; here over its first half, and less
# often where that has not as many steps.
ROUNDS = 12
RESERVED = 1e-5
"""Singular value of a triplet in reserve: it hardly acts, while its vectors already learn."""
LONG_AGO = -(10**9)
"""Step at which the first triplets opened: they share the warm-up of the whole training."""


class Triplets(Gates):
    """Singular values: the first `rank` are trained, and the next `reserve` are in reserve.

    All others exist from the beginning, without effect and without gradient. Whatever has to
    survive a checkpoint is a buffer here.

    Args:
        capacity: Largest number of triplets.
        reserve: How many wait for the module to grow.
    """

    rank: Int[Tensor, "1 1"]
    reserve: Int[Tensor, "1 1"]
    sensitivity: Float[Tensor, "1 1"]
    uncertainty: Float[Tensor, "1 1"]
    trained_since: Int[Tensor, "rank 1"]
    reserved_since: Int[Tensor, "rank 1"]

    def __init__(self, capacity: int, reserve: int) -> None:
        values = torch.full((capacity, 1), RESERVED)
        values[0] = 0
        super().__init__(values)
        self.register_buffer("rank", torch.tensor([[1]]))
        self.register_buffer("reserve", torch.tensor([[reserve]]))
        self.register_buffer("sensitivity", torch.zeros(1, 1))
        self.register_buffer("uncertainty", torch.zeros(1, 1))
        self.register_buffer("trained_since", torch.full((capacity, 1), LONG_AGO))
        self.register_buffer("reserved_since", torch.full((capacity, 1), LONG_AGO))

    def forward(self, a: Float[Tensor, "rank width"]) -> Float[Tensor, "rank width"]:
        """Return the vectors on the right times their singular values."""
        reserved = torch.where(self.is_open(), RESERVED, 0.0)
        return torch.where(self.is_kept(), self.values, reserved) * a

    def is_kept(self) -> Bool[Tensor, "rank 1"]:
        """Tell which are trained."""
        return self._index() < self.rank

    def is_open(self) -> Bool[Tensor, "rank 1"]:
        """Tell whose vectors are trained: those in reserve, too."""
        return self._index() < self.rank + self.reserve

    def observe(self, importance: Float[Tensor, ""], beta: float) -> None:
        """Take in the importance measured at a step: a moving mean, and how far it is off."""
        self.sensitivity.lerp_(importance, 1 - beta)
        self.uncertainty.lerp_((importance - self.sensitivity).abs(), 1 - beta)

    def score(self) -> float:
        """Return how much the module asks to grow."""
        return float(self.sensitivity * self.uncertainty)

    def grow(self, number: int, step: int) -> None:
        """Train so many more, and hold the next ones in reserve."""
        were_kept, were_open = self.is_kept(), self.is_open()
        self.rank += number
        self.trained_since[self.is_kept() & ~were_kept] = step
        self.reserved_since[self.is_open() & ~were_open] = step
        self.values.data[self.is_kept() & ~were_kept] = RESERVED

    def room(self) -> int:
        """Return how many more there can be."""
        return len(self.values) - int(self.rank)

    def warmth(self, step: int, warmup: int) -> tuple[Float[Tensor, "rank 1"], ...]:
        """Return the share of the optimiser's step that is taken: of values, and twice of vectors.

        It grows with every step to 1 at the end of the warm-up.
        """
        of_values, of_vectors = (
            ((step - since) / warmup).clamp(0, 1)
            for since in (self.trained_since, self.reserved_since)
        )
        return of_values, of_vectors, of_vectors

    def _index(self) -> Int[Tensor, "rank 1"]:
        return torch.arange(len(self.values), device=self.values.device)[:, None]


class Growth(TrainerCallback):
    """Measure in training how important every module is, and let the most important grow.

    Args:
        model: With triplets between its A and B.
        budget: Parameters that the trained triplets may cost in the end.
        rounds: How often modules grow.
        modules: How many grow in a round.
        number: Triplets that each of them gets.
    """

    def __init__(
        self, model: PeftModel, budget: int, *, rounds: int, modules: int, number: int
    ) -> None:
        self.layers = tuple((one, _triplets(one)) for one in gated_layers(model))
        self.budget, self.rounds, self.modules, self.number = budget, rounds, modules, number
        self.interval = 1
        self.is_growing = False
        self.importances = torch.zeros(len(self.layers))
        self.before: list[tuple[Tensor, ...]] = []
        self.hooks = [
            cast("nn.Module", one.layer).register_forward_hook(partial(self._watch, index))
            for index, (one, _) in enumerate(self.layers)
        ]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Plan the rounds; the first follows two intervals, as in the authors' code."""
        self.interval = max(state.max_steps // (2 * (self.rounds + 1)), 1)
        self.importances = self.importances.to(args.device)
        self.is_growing = self._can_grow()

    @torch.no_grad()
    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take in how important the modules are, and add the gradient of the penalty."""
        if self.is_growing:
            # Processes that train together have to grow alike.
            importances = cast("Tensor", reduce(self.importances, "mean"))
            for (_, triplets), importance in zip(self.layers, importances, strict=True):
                triplets.observe(importance, BETA)
        share = ORTHOGONALITY / (2 * len(self.layers))
        for one, triplets in self.layers:
            if one.a.grad is not None and one.b.grad is not None:  # an expert may have had no token
                is_open = triplets.is_open()
                one.a.grad.add_(orthogonality_gradient(one.a, is_open), alpha=share)
                one.b.grad.add_(orthogonality_gradient(one.b.T, is_open).T, alpha=share)
        if self._is_warming(state):
            self.before = [tuple(each.clone() for each in _trained(one)) for one, _ in self.layers]

    @torch.no_grad()
    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Shorten the step of what is new, and grow if it is time."""
        step = state.global_step + 1  # the one just done is not yet counted
        if self._is_warming(state):
            for (one, triplets), before in zip(self.layers, self.before, strict=True):
                shares = triplets.warmth(step, self.interval)
                for new, old, share in zip(_trained(one), before, shares, strict=True):
                    new.copy_(old.lerp(new, share))
        if self.is_growing and step > self.interval and step % self.interval == 0:
            self._grow(step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave no hook on the model."""
        for hook in self.hooks:
            hook.remove()

    def _watch(self, index: int, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        if self.is_growing and output.requires_grad:
            output.register_hook(partial(self._measure, index, inputs[0].detach()))

    def _measure(self, index: int, inputs: Tensor, gradient: Tensor) -> None:
        """Sum |w dL/dw| over the update, over the root of its size, as the authors' code does."""
        one, _ = self.layers[index]
        update = one.scale * one.b @ one.down.weight
        of_update = gradient.flatten(0, -2).T.to(update) @ inputs.flatten(0, -2).to(update)
        self.importances[index] = (update * of_update).abs().sum() / math.sqrt(update.numel())

    def _grow(self, step: int) -> None:
        by_score = sorted(self.layers, key=lambda layer: layer[1].score(), reverse=True)
        grown = 0
        for one, triplets in by_score:
            number = self._payable(one, triplets)
            if number and grown < self.modules:
                triplets.grow(number, step)
                grown += 1
        self.is_growing = self._can_grow()
        if not self.is_growing:
            for _, triplets in self.layers:
                triplets.reserve.zero_()

    def _can_grow(self) -> bool:
        return any(self._payable(one, triplets) for one, triplets in self.layers)

    def _payable(self, one: GatedLayer, triplets: Triplets) -> int:
        """Return how many triplets a module can get now."""
        left = self.budget - sum(each.cost * int(its.rank) for each, its in self.layers)
        return max(0, min(self.number, triplets.room(), left // one.cost))

    def _is_warming(self, state: TrainerState) -> bool:
        """Whether something may be so new that its steps are shortened."""
        return state.global_step < (self.rounds + 2) * self.interval


def orthogonality_gradient(
    vectors: Float[Tensor, "rank width"], is_open: Bool[Tensor, "rank 1"]
) -> Float[Tensor, "rank width"]:
    """Return the gradient of the Frobenius norm of V V^T - 1, of the open rows of V."""
    rows = torch.where(is_open, vectors, 0.0)
    excess = rows @ rows.T - torch.diag(is_open.flatten().to(rows.dtype))
    # At 0, where rows are orthonormal to the last digit, the norm has no gradient: none is added.
    return 2 * excess @ rows / excess.norm().clamp(min=torch.finfo(rows.dtype).tiny)


def _trained(one: GatedLayer) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a module trains, a row for each rank."""
    return one.gates.values, one.a, one.b.T


def _triplets(one: GatedLayer) -> Triplets:
    assert isinstance(one.gates, Triplets)
    return one.gates


def _size(model: PreTrainedModel, budget: int, setting: Setting) -> Size:
    """Return the ranks in all modules together; every module has one at least."""
    modules = adapted_modules(model, setting)
    least = Size(len(modules), rank_parameters(modules, 1))
    return max(least, whole_ranks(model, budget, setting), key=lambda size: size.value)


def _apply(model: PreTrainedModel, size: Size, setting: Setting) -> Applied:
    modules = adapted_modules(model, setting)
    rounds = max(min(ROUNDS, setting.total_steps // 2 - 1), 1)
    # The authors' code gives half the mean rank at a time, to as many modules as the rounds ask.
    mean_rank = size.value / len(modules)
    number = max(round(mean_rank / 2), math.ceil((mean_rank - 1) / rounds), 1)
    growing = math.ceil((size.value - len(modules)) / (rounds * number))
    capacity = min(1 + (rounds + 1) * number, largest_rank(modules))
    wrapped = gated_lora(model, capacity, setting, lambda rank: Triplets(rank, reserve=number))
    for one in gated_layers(wrapped):
        nn.init.normal_(one.a, std=STD)
        nn.init.normal_(one.b, std=STD)
    growth = Growth(wrapped, size.parameters, rounds=rounds, modules=growing, number=number)
    return Applied(wrapped, callbacks=[growth], finish=lambda _: pruned(wrapped))


METHODS: Mapping[str, Method] = {"increlora": Method("increlora", size=_size, apply=_apply)}
