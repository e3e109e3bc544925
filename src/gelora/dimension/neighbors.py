"""The two nearest neighbours of every sample: exact, in tiles, on CPU or GPU.

Hidden states have a huge common mean and a few coordinates hundreds of times the others, so the
short form |x|² + |y|² - 2 x·y of a squared distance loses the digits that TwoNN lives on. Here
it only proposes: a product of tiles gives each pair a certified lower bound of its squared
distance, the smallest few are measured again as differences of the values as they came, and a
row is accepted when its second distance lies below the bound of all that were not measured. A
row that is not accepted is measured against every sample.

All of it is done in float64, which neither autocast nor the settings for float32 products (TF32,
bfloat16) touch. It does not approximate, and does not treat duplicates: see `duplicates.py`.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributed import ProcessGroup

from gelora.errors import ConfigError, HiddenStatesError, NonFiniteStatesError, TooFewSamplesError

_SPARE = 7  # candidates measured beyond the neighbours; the sample itself may be one of them


def two_nearest_neighbors(
    points: Float[np.ndarray, "samples width"] | Float[Tensor, "samples width"],
    *,
    tile_size: int = 1024,
    device: torch.device | str | None = None,
) -> tuple[Float[np.ndarray, "samples 2"], Int[np.ndarray, "samples 2"]]:
    """Find the two nearest neighbours of every sample by Euclidean distance.

    Beside the points it needs about `tile_size` × (tile_size + 2 width) × 8 bytes, and gives the
    same result for every `tile_size`.

    Args:
        points: At least three samples, in any float type; not changed.
        tile_size: Samples whose distances to as many others are held at once.
        device: Where to compute; by default where the points are.

    Returns:
        Distances, float64, in the units of `points`, and the neighbours' row numbers, int64: the
        nearest first, the sample itself left out, the lower row number first among equals.

    Raises:
        TooFewSamplesError: There are fewer than three samples.
        NonFiniteStatesError: The points hold NaN or infinity.
        HiddenStatesError: The points are not a matrix.
        ConfigError: `tile_size` is below 1.

    Example:
        >>> distances, indices = two_nearest_neighbors(np.array([[0.0], [1.0], [3.0]]))
        >>> distances.tolist(), indices.tolist()
        ([[1.0, 3.0], [1.0, 2.0], [2.0, 3.0]], [[1, 2], [0, 2], [1, 0]])
    """
    return nearest_neighbors(points, tile_size=tile_size, device=device)


def nearest_neighbors(
    points: Float[np.ndarray, "samples width"] | Float[Tensor, "samples width"],
    *,
    num_neighbors: int = 2,
    rows: Int[np.ndarray, " rows"] | None = None,
    tile_size: int = 1024,
    device: torch.device | str | None = None,
    process_group: ProcessGroup | None = None,
) -> tuple[Float[np.ndarray, "rows neighbors"], Int[np.ndarray, "rows neighbors"]]:
    """Find the nearest neighbours of every sample by Euclidean distance.

    Args:
        points: Samples in any float type, in memory or mapped from a file; not changed.
        num_neighbors: Neighbours of each, at least 1.
        rows: The samples that count, by default all; neighbours are searched among them alone.
        tile_size: Samples whose distances to as many others are held at once.
        device: Where to compute; by default where the points are.
        process_group: Processes that share the work, each calling with the same arguments; all
            get the same result.

    Returns:
        Distances, float64, in the units of `points`, and the neighbours as positions in `rows`,
        int64: the nearest first, the sample itself left out, the lower position first among
        equals.

    Raises:
        TooFewSamplesError: There are not more samples than neighbours.
        NonFiniteStatesError: The points hold NaN or infinity.
        HiddenStatesError: The points are not a matrix.
        ConfigError: `tile_size` or `num_neighbors` is below 1.
    """
    for name, value in (("tile_size", tile_size), ("num_neighbors", num_neighbors)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1; got {value}.")
    values = as_tensor(points)
    if rows is not None:
        values = values[torch.as_tensor(rows)]
    values = values if device is None else values.to(device)
    if len(values) <= num_neighbors:
        raise TooFewSamplesError(
            f"{num_neighbors} neighbours of each need at least {num_neighbors + 1} samples; got"
            f" {len(values)}."
        )
    # A power of two changes no digit, and keeps squares of huge or tiny values in range.
    _, exponent = math.frexp(float(values.abs().max()))
    scale = 2.0 ** -max(-1000, min(exponent, 1000))
    tiles = torch.arange(len(values), device=values.device).split(tile_size)
    center = torch.stack([_take(values, tile, scale).sum(0) for tile in tiles]).sum(0) / len(values)
    found = [_search(values, rows, tiles, center, scale, num_neighbors) for rows in tiles]
    distances, indices = (torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True))
    return distances / scale, indices


def as_tensor(points: np.ndarray | Tensor, *, where: str = "") -> Tensor:
    """Return points as a detached float32 or float64 matrix, checked to be finite.

    Args:
        points: A matrix of any float type; half precision is widened, which is exact.
        where: Ends the first sentence of an error, such as " at level 'embeddings'".

    Raises:
        NonFiniteStatesError: The points hold NaN or infinity.
        HiddenStatesError: The points are not a matrix.
    """
    values = torch.as_tensor(points).detach()
    if values.ndim != 2 or values.shape[1] == 0:
        raise HiddenStatesError(
            f"Expected a matrix (samples, width){where}; got shape {tuple(values.shape)}."
        )
    num_nan = int(values.isnan().sum())
    num_infinite = int(values.isinf().sum())
    if num_nan or num_infinite:
        raise NonFiniteStatesError(
            f"{num_nan} NaN and {num_infinite} infinite values among {values.numel()}{where}. If"
            " the model runs in float16, its states overflowed: load it in bfloat16 or float32."
        )
    return values if values.dtype in {torch.float32, torch.float64} else values.float()


def _search(
    values: Float[Tensor, "samples width"],
    rows: Int[Tensor, " rows"],
    tiles: tuple[Int[Tensor, " _"], ...],
    center: Float[Tensor, " width"],
    scale: float,
    num_neighbors: int,
) -> tuple[Float[Tensor, "rows neighbors"], Int[Tensor, "rows neighbors"]]:
    """Find the two neighbours of some rows: propose, measure, and check the certificate."""
    candidates, bound = _propose(values, rows, tiles, center, scale, num_neighbors)
    distances, indices = _smallest(
        _measure(values, rows, candidates, scale), candidates, num_neighbors
    )
    uncertain = distances[:, -1].square() >= bound
    if uncertain.any():
        distances[uncertain], indices[uncertain] = _search_directly(
            values, rows[uncertain], tiles, scale, num_neighbors
        )
    return distances, indices


def _propose(
    values: Float[Tensor, "samples width"],
    rows: Int[Tensor, " rows"],
    tiles: tuple[Int[Tensor, " _"], ...],
    center: Float[Tensor, " width"],
    scale: float,
    num_neighbors: int,
) -> tuple[Int[Tensor, "rows candidates"], Float[Tensor, " rows"]]:
    """Return candidates, and a bound that every other sample's squared distance exceeds.

    The computed product differs from x·y by at most γ |x||y| <= γ (|x|² + |y|²) / 2 with
    γ = width·u / (1 - width·u), u = 2⁻⁵³, in whatever order it is summed (Higham, "Accuracy and
    Stability of Numerical Algorithms", section 3.1). So shrinking both norms by a little more
    than γ turns the computed square into a lower bound; the more covers centring and the few
    roundings around the product.
    """
    shrink = 1 - (values.shape[1] + 32) * torch.finfo(torch.float64).eps
    num_candidates = min(num_neighbors + _SPARE, len(values))
    block = _take(values, rows, scale) - center
    bounds = block.new_full((len(rows), num_candidates), math.inf)
    candidates = rows[:, None].expand(-1, num_candidates)
    for tile in tiles:
        others = _take(values, tile, scale) - center
        squares = torch.addmm(others.square().sum(1) * shrink, block, others.T, alpha=-2)
        squares += (block.square().sum(1) * shrink)[:, None]
        squares.masked_fill_(rows[:, None] == tile, math.inf)
        bounds = torch.cat([bounds, squares], dim=1)
        candidates = torch.cat([candidates, tile.expand(len(rows), -1)], dim=1)
        bounds, chosen = bounds.topk(num_candidates, largest=False)
        candidates = candidates.gather(1, chosen)
    return candidates.sort(dim=1).values, bounds.amax(1)


def _measure(
    values: Float[Tensor, "samples width"],
    rows: Int[Tensor, " rows"],
    candidates: Int[Tensor, "rows candidates"],
    scale: float,
) -> Float[Tensor, "rows candidates"]:
    """Return the distances from each row to its candidates; infinity to itself."""
    parts = [
        _direct(_take(values, some, scale)[:, None], _take(values, theirs, scale))[:, 0]
        for some, theirs in zip(rows.split(64), candidates.split(64), strict=True)
    ]
    return torch.cat(parts).masked_fill(candidates == rows[:, None], math.inf)


def _search_directly(
    values: Float[Tensor, "samples width"],
    rows: Int[Tensor, " rows"],
    tiles: tuple[Int[Tensor, " _"], ...],
    scale: float,
    num_neighbors: int,
) -> tuple[Float[Tensor, "rows neighbors"], Int[Tensor, "rows neighbors"]]:
    """Find the two neighbours of some rows by measuring them against every sample."""
    block = _take(values, rows, scale)
    distances = block.new_full((len(rows), num_neighbors), math.inf)
    indices = rows[:, None].expand(-1, num_neighbors)
    for tile in tiles:
        measured = _direct(block, _take(values, tile, scale))
        measured.masked_fill_(rows[:, None] == tile, math.inf)
        distances, indices = _smallest(
            torch.cat([distances, measured], dim=1),
            torch.cat([indices, tile.expand(len(rows), -1)], dim=1),
            num_neighbors,
        )
    return distances, indices


def _smallest(
    distances: Float[Tensor, "rows columns"],
    indices: Int[Tensor, "rows columns"],
    num_neighbors: int,
) -> tuple[Float[Tensor, "rows neighbors"], Int[Tensor, "rows neighbors"]]:
    """Return the smallest of each row, the first among equals first."""
    distances, order = distances.sort(dim=1, stable=True)
    return distances[:, :num_neighbors], indices.gather(1, order)[:, :num_neighbors]


def _direct(
    left: Float[Tensor, "*batch rows width"], right: Float[Tensor, "*batch columns width"]
) -> Float[Tensor, "*batch rows columns"]:
    """Measure distances as norms of differences; each pair is summed alike wherever it stands."""
    return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")


def _take(
    values: Float[Tensor, "samples width"], index: Int[Tensor, "..."], scale: float
) -> Float[Tensor, "... width"]:
    """Return rows of the points in float64, scaled."""
    return values[index].double() * scale
