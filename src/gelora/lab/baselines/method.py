"""A method of fine-tuning: how large it is made, and how it is applied to a model.

A method decides which parameters of a pretrained model with a head train, which are added, and what
happens during training. The training loop is the same for all methods.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn
from transformers import PreTrainedModel, Trainer, TrainerCallback

from gelora.dimension.profile import DimensionProfile
from gelora.problems import Problem
from gelora.settings import RankSettings

Callback = TrainerCallback | Callable[[Trainer], TrainerCallback]


@dataclass(frozen=True)
class Size:
    """How large a method is made.

    Attributes:
        value: In the method's own measure: a rank, the width of a bottleneck; 0 where there is only
            one size.
        parameters: What that adds or trains in the end, without the head, by the closed formula.
    """

    value: int
    parameters: int


@dataclass(frozen=True)
class Setting:
    """What a method may know of the task and of the training to come.

    Attributes:
        problem: Of the task.
        ranks: What gets an adapter, LoRA's alpha/r, and how GeLoRA's dimensions become ranks.
        total_steps: Optimiser steps of the training, for schedules.
        seed: Decides every random choice.
        batches: Training batches with their labels on the model's device, each call from the first
            on, for methods that look at the data before training.
        profile: The dimensions of the model's blocks on the training texts, for GeLoRA's ranks.
    """

    problem: Problem
    ranks: RankSettings = field(default_factory=RankSettings)
    total_steps: int = 0
    seed: int = 0
    batches: Callable[[], Iterable[Mapping[str, Tensor]]] = tuple
    profile: DimensionProfile | None = None


@dataclass(frozen=True)
class Applied:
    """A model that is ready to be trained by a method.

    Attributes:
        model: What trains requires gradients, all else is frozen.
        callbacks: What the method does during training.
        finish: Called once after training; returns the model to evaluate and to save, which may be
            another one, such as the adapter pruned to what is left of it.
        ranks: Rank of every adapted module, by its path from the backbone's root, where the
            method has ranks and knows them before training.
        selection_seconds: Wall time that choosing ranks or directions took here.
        forward_tokens: Tokens that it ran through the model, padding too.
    """

    model: nn.Module
    callbacks: Sequence[Callback] = ()
    finish: Callable[[nn.Module], nn.Module] = lambda model: model
    ranks: Mapping[str, int] = field(default_factory=dict[str, int])
    selection_seconds: float = 0.0
    forward_tokens: int = 0


@dataclass(frozen=True)
class Method:
    """One way of fine-tuning.

    Attributes:
        name: As it stands in `--methods`.
        size: Takes the model, the budget in parameters and the setting; returns the size whose
            parameters are nearest to the budget, the smaller of two that are equally near.
        apply: Takes the model with its new head, the size and the setting. The caller has set the
            seed.
        needs_profile: Whether `Setting.profile` has to be there.
    """

    name: str
    size: Callable[[PreTrainedModel, int, Setting], Size]
    apply: Callable[[PreTrainedModel, Size, Setting], Applied]
    needs_profile: bool = False


def nearest_size(budget: int, parameters: Callable[[int], int], *, largest: int) -> Size:
    """Return the size from 1 to `largest` whose parameters, which grow with it, are nearest.

    >>> nearest_size(100, lambda rank: 30 * rank, largest=8)
    Size(value=3, parameters=90)
    """
    sizes = [Size(value, parameters(value)) for value in range(1, largest + 1)]
    return min(sizes, key=lambda size: abs(size.parameters - budget))
