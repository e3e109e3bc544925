"""Small networks of which the dimension of every layer and the rank of every Jacobian are known.

Points of a manifold of known dimension are the rows of an embedding, and one block follows,

    output = input, if it has a skip, + write(shape(read(input)))

so a network is measured as any model is: texts of one token each (two, for `revealing`) name its
points. Adapted is `read`. They are for tests, examples and benchmarks; no measurement uses them.

`scrambling` and `revealing` are there to break the theorem's inequality: in each of them a
condition of the theorem is not met.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from manifolds import Manifold, Points

ADAPTED = ("read",)
"""`target_modules` for which `parameter_rank` is stated."""

SPARE_WIDTH = 8
"""Hidden states are wider than the manifold's own space by so much."""

GAIN = 200.0
"""What `amplifying` multiplies directions by whose spread is 1 / GAIN of the others'."""

Matrix = Float[np.ndarray, "_ _"]


class KnownBlock(nn.Module):
    """Maps each token's state by itself: write(shape(read(state))), and the state if it skips."""

    def __init__(
        self, read: Matrix, write: Matrix, shape: Callable[[Tensor], Tensor], *, has_skip: bool
    ) -> None:
        super().__init__()
        self.read, self.write = _linear(read), _linear(write)
        self.shape = shape
        self.has_skip = has_skip

    def forward(self, states: Float[Tensor, "batch tokens width"]) -> Tensor:
        """Return the block's output for its input."""
        change = self.write(self.shape(self.read(states)))
        return states + change if self.has_skip else change


class KnownModel(nn.Module):
    """Looks each token's state up and runs the block."""

    def __init__(self, table: Points, block: KnownBlock) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.tensor(table, dtype=torch.float32))
        self.blocks = nn.ModuleList([block])

    def forward(self, input_ids: Int[Tensor, "batch tokens"]) -> Tensor:
        """Return the last block's output."""
        states = self.embedding(input_ids)
        for block in self.blocks:
            states = block(states)
        return states


@dataclass(frozen=True, eq=False)
class KnownNetwork:
    """A network with its answers.

    Attributes:
        model: Takes `input_ids`.
        input_ids: The tokens of each sample.
        dimensions: Of the pooled states, by their mean, before the block and after it; at the
            scale of neighbours, where two scales differ.
        input_rank: Of the Jacobian of the block's pooled output by its pooled input.
        parameter_rank: Of the Jacobian by the weights of `read`.
    """

    model: KnownModel
    input_ids: Int[Tensor, "samples tokens"]
    dimensions: tuple[int, int]
    input_rank: int
    parameter_rank: int


def linear_map(manifold: Manifold, num_samples: int, *, rank: int, seed: int) -> KnownNetwork:
    """Map by a random matrix of a rank: the dimension becomes at most the rank.

    Where the rank is the smaller of the two the theorem's first inequality is tight.
    """
    rng = _generator(seed)
    points = _widened(manifold.sample(num_samples, seed=seed), rng)
    width = points.shape[1]
    block = KnownBlock(
        _directions(width, rank, rng).T, _directions(width, rank, rng), _unchanged, has_skip=False
    )
    return _network(points, block, (manifold.dimension, min(manifold.dimension, rank)), rank, rank)


def curved(manifold: Manifold, num_samples: int, *, dimension: int, seed: int) -> KnownNetwork:
    """Project onto a few directions and bend them into a curved set that fills the width.

    The set has the dimension of the projection, and so has the Jacobian as its rank: the first
    inequality is tight. The manifold is to be one that fills its space.
    """
    rng = _generator(seed)
    points = _widened(manifold.sample(num_samples, seed=seed), rng)
    width = points.shape[1]
    bend = rng.normal(size=(width, dimension)) / np.sqrt(4 * dimension)
    read = bend @ _directions(width, dimension, rng).T
    block = KnownBlock(read, np.eye(width), torch.sin, has_skip=False)
    return _network(points, block, (manifold.dimension, dimension), dimension, width)


def identity(manifold: Manifold, num_samples: int, *, seed: int) -> KnownNetwork:
    """Add nothing: the increment is 0, and so is the rank of what the weights of `read` can do."""
    rng = _generator(seed)
    points = _widened(manifold.sample(num_samples, seed=seed), rng)
    width = points.shape[1]
    block = KnownBlock(np.eye(width), np.zeros((width, width)), _unchanged, has_skip=True)
    return _network(points, block, (manifold.dimension, manifold.dimension), width, 0)


def amplifying(manifold: Manifold, num_samples: int, *, added: int, seed: int) -> KnownNetwork:
    """Add directions: their spread lay below the distance of neighbours, and rises above it.

    A smooth block adds none to a set in the strict sense: its image never has the higher dimension.
    But a dimension is measured at the scale of neighbours, and what is far finer than it is not
    seen. The manifold's spread is about 1, and beside it lies that of `added` directions more, as
    small as 1 / GAIN, which the block multiplies by GAIN. Its increment is theirs in number, as is
    the rank of what the weights of `read` can do: the second inequality is tight. The rank by the
    input is the width, at tolerances below 1 / GAIN alone.
    """
    rng = _generator(seed)
    faint = rng.normal(size=(num_samples, added)) / GAIN
    both = np.hstack([manifold.sample(num_samples, seed=seed), faint])
    width = both.shape[1] + SPARE_WIDTH
    directions = _directions(width, both.shape[1], rng)
    amplified = directions[:, -added:]
    write = (GAIN - 1) * amplified @ amplified.T
    block = KnownBlock(np.eye(width), write, _unchanged, has_skip=True)
    dimensions = (manifold.dimension, manifold.dimension + added)
    return _network(both @ directions.T, block, dimensions, width, added)


def scrambling(manifold: Manifold, num_samples: int, *, rank: int, seed: int) -> KnownNetwork:
    """Break the theorem by noise: add to a linear map of a rank what is not smooth in its input.

    Noise of the spread of the map itself fills twice the rank in directions. It is made of far
    digits, a fresh draw for each point whose derivative is 0 wherever there is one: so the
    Jacobian has the map's rank, and the dimension rises above it.
    """
    rng = _generator(seed)
    points = _widened(manifold.sample(num_samples, seed=seed), rng)
    width = points.shape[1]
    mixing = rng.normal(size=(2 * rank, rank)) / np.sqrt(rank)
    block = KnownBlock(
        mixing @ _directions(width, rank, rng).T,
        _directions(width, 2 * rank, rng),
        _with_far_digits,
        has_skip=False,
    )
    return _network(points, block, (manifold.dimension, 2 * rank), rank, 2 * rank)


def revealing(manifold: Manifold, num_samples: int, *, shown: int, seed: int) -> KnownNetwork:
    """Break the theorem by pooling: show how far apart the tokens are, which their mean hides.

    The two tokens of a sample lie on both sides of a point of the manifold, apart in `shown`
    directions of their own. The block squares what it reads in these and keeps the rest. So its
    pooled output is no function of the pooled input: its dimension grows, and the rank by the
    input is that of what was kept, the width of the manifold's own space.
    """
    rng = _generator(seed)
    points = manifold.sample(num_samples, seed=seed)
    apart = 2 + rng.normal(size=(num_samples, shown)) / 4
    tokens = np.vstack([np.hstack([points, sign * apart]) for sign in (1, -1)])
    kept, read = points.shape[1], tokens.shape[1]
    directions = _directions(read + SPARE_WIDTH, read, rng)
    block = KnownBlock(directions.T, directions, partial(_squared_from, kept), has_skip=False)
    return KnownNetwork(
        KnownModel(tokens @ directions.T, block),
        input_ids=torch.arange(2 * num_samples).reshape(2, num_samples).T,
        dimensions=(manifold.dimension, manifold.dimension + shown),
        input_rank=kept,
        parameter_rank=read,
    )


def _network(
    points: Points,
    block: KnownBlock,
    dimensions: tuple[int, int],
    input_rank: int,
    parameter_rank: int,
) -> KnownNetwork:
    input_ids = torch.arange(len(points))[:, None]
    return KnownNetwork(
        KnownModel(points, block), input_ids, dimensions, input_rank, parameter_rank
    )


def _generator(seed: int) -> np.random.Generator:
    """Return one whose numbers are not those that a manifold draws by the same seed."""
    return np.random.default_rng([seed, 1])


def _widened(points: Points, rng: np.random.Generator) -> Matrix:
    """Turn points into a wider space; no distance changes."""
    own_width = points.shape[1]
    return points @ _directions(own_width + SPARE_WIDTH, own_width, rng).T


def _directions(width: int, number: int, rng: np.random.Generator) -> Matrix:
    """Draw orthonormal directions, one a column."""
    return np.linalg.qr(rng.normal(size=(width, number)))[0]


def _linear(matrix: Matrix) -> nn.Linear:
    linear = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False)
    linear.weight.data.copy_(torch.from_numpy(matrix))
    return linear


def _unchanged(states: Tensor) -> Tensor:
    return states


def _with_far_digits(states: Tensor) -> Tensor:
    """Add the third to the fifth digit behind the point, as a number between 0 and 4."""
    digits = torch.floor(1e5 * states) % 1e3
    return states + 4e-3 * digits


def _squared_from(first: int, states: Tensor) -> Tensor:
    return torch.cat([states[..., :first], states[..., first:].square()], dim=-1)
