"""What all estimators share: a fit to the distances of neighbours, and its standard error.

An estimator turns every sample's distances to its nearest neighbours into one dimension, and says
how each sample moved it. From that influence one formula gives the standard error of a dimension
and of a difference of two. The laws themselves are in `twonn.py`, `gride.py` and
`levina_bickel.py`; `estimators.py` names them all.
"""

# scipy has no types.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

import math
import warnings
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from gelora.dimension.duplicates import distinct_samples, is_constant
from gelora.dimension.points import PointsLike, as_tensor
from gelora.errors import ConstantStatesWarning, HiddenStatesError


@dataclass(frozen=True)
class DimensionEstimate:
    """An intrinsic dimension and what it rests on.

    Attributes:
        dimension: The estimate; 0.0 when all samples are the same point.
        standard_error: Its standard error, in dimensions; bias is not in it.
        num_used: Samples it rests on.
        num_duplicates: Samples set aside as exact copies.
        num_near_duplicates: Samples set aside as copies up to rounding.
    """

    dimension: float
    standard_error: float
    num_used: int
    num_duplicates: int
    num_near_duplicates: int


@dataclass(frozen=True)
class Fit:
    """A dimension, and to first order how each sample moves it (mean 0, times samples)."""

    dimension: float
    influence: Float[np.ndarray, " samples"]


@runtime_checkable
class Estimator(Protocol):
    """A law of the distances to the nearest neighbours, fitted for its dimension."""

    @property
    def num_neighbors(self) -> int:
        """How many neighbours of each sample it needs."""
        ...

    def fit_distances(self, distances: Float[np.ndarray, "samples neighbors"]) -> Fit:
        """Fit the dimension to the ascending distances of distinct samples to their neighbours.

        Raises:
            HiddenStatesError: The distances tie, so that no dimension follows.
        """
        ...


class PointEstimator:
    """What makes of an `Estimator` one that takes points.

    Attributes:
        dimension_: After `fit`: the dimension.
        standard_error_: After `fit`: its standard error.
    """

    dimension_: float
    standard_error_: float

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: N803 - scikit-learn's names
        """Estimate the dimension of points, as scikit-learn's estimators do.

        Args:
            X: The samples, as `estimate` takes them; of shape (samples, width).
            y: Not used.

        Returns:
            This estimator, with `dimension_` and `standard_error_`.

        Raises:
            HiddenStatesError: As `estimate` does.
        """
        del y
        estimate = self.estimate(X)  # type: ignore[misc]
        for name in ("dimension", "standard_error"):
            # The settings stay frozen; what was fitted is no part of them.
            object.__setattr__(self, f"{name}_", getattr(estimate, name))
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the settings by name, as scikit-learn asks for them."""
        del deep
        return asdict(self)  # type: ignore[call-overload]

    def set_params(self, **settings: Any) -> Self:
        """Change settings in place, as scikit-learn does.

        Raises:
            ConfigError: A setting is unknown, or its value is out of its range.
        """
        changed = self.updated(settings)  # type: ignore[attr-defined]
        for name in settings:
            object.__setattr__(self, name, getattr(changed, name))
        return self

    def estimate(
        self: Estimator,
        points: PointsLike,
    ) -> DimensionEstimate:
        """Estimate the dimension of the manifold that the points lie on.

        Args:
            points: The samples, in any float type: an array, a tensor, or what numpy makes one of,
                such as a DataFrame. Copies are set aside first, and counted.

        Raises:
            TooFewSamplesError: Fewer than 50 samples differ.
            NonFiniteStatesError: The points hold NaN or infinity.
            HiddenStatesError: All distances tie, as on a lattice.

        Warns:
            ConstantStatesWarning: All samples are the same point; the dimension is 0.
        """
        values = as_tensor(points)
        if len(values) and is_constant(values):
            warnings.warn(
                f"All {len(values)} samples are the same point: their dimension is 0.",
                ConstantStatesWarning,
                stacklevel=2,
            )
            return DimensionEstimate(0.0, 0.0, len(values), 0, 0)
        samples = distinct_samples(
            [values], layer_names=["points"], num_neighbors=self.num_neighbors
        )
        fit = self.fit_distances(samples.distances[0])
        return DimensionEstimate(
            fit.dimension,
            graph_standard_error(fit.influence, samples.neighbors[0]),
            len(samples.kept),
            samples.num_duplicates,
            samples.num_near_duplicates,
        )


def graph_standard_error(
    influence: Float[np.ndarray, " samples"], neighbors: Int[np.ndarray, "samples links"]
) -> float:
    """Return the standard error of a mean influence, allowing for shared neighbours.

    Two samples of which one is a neighbour of the other depend on each other. So the variance is
    the sum of influence_i influence_j over all such pairs (and i = j) / N². Pairs that only share
    a neighbour add nothing that simulation shows, and with 20 neighbours they are so many that
    the sum would lose what it measures. It is never taken below that of independent samples, the
    pairs i = j alone, as chance could make it, negative even. docs/accuracy.md has its coverage.

    Args:
        influence: Of one estimate, or of one less another on the same samples.
        neighbors: Row numbers of the neighbours, of both estimates in the second case.
    """
    num_samples, num_links = neighbors.shape
    row_starts = np.arange(num_samples + 1) * num_links
    links = csr_array(
        (np.ones(neighbors.size), neighbors.ravel(), row_starts), shape=(num_samples, num_samples)
    )
    dependent = links + links.T
    dependent.data[:] = 1.0
    independent = influence @ influence
    variance = independent + influence @ (dependent @ influence)
    return math.sqrt(max(variance, independent)) / num_samples


def tied(ratios: Float[np.ndarray, " samples"]) -> HiddenStatesError:
    """Return the error of log-ratios of distances that are 0, as on a lattice."""
    num_tied = np.count_nonzero(ratios == 0)
    return HiddenStatesError(
        f"{num_tied} of {len(ratios)} samples have their neighbours at the same distance, as on a"
        " lattice, so no dimension can be told. Are the values rounded to a grid?"
    )
