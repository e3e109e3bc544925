"""The triplets of IncreLoRA in one module: which are trained, which are held in reserve.

It holds what has to survive a checkpoint, as buffers, and takes no decision: that is `increlora`.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gelora.lab.baselines.gates import Gates

# The singular value of a triplet in reserve: it hardly acts, and its vectors learn already.
RESERVED = 1e-5
# The first triplets share the warm-up of the whole training: they are as if long since opened.
LONG_AGO = -(10**9)


class Triplets(Gates):
    """Singular values: the first `rank` are trained, and the next `reserve` are in reserve.

    All there can be are there from the beginning, the rest without effect and without gradient.

    Args:
        capacity: How many there can be.
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
