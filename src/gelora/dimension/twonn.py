"""TwoNN: the intrinsic dimension from the ratio of the two nearest distances, with its error.

Two estimators of the same law, by a line and by maximum likelihood, each with the influence of
every sample on it, from which one formula gives the standard error of a dimension and of a
difference of two. It compares no levels (see `levels.py`) and tests no other scale.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from torch import Tensor

from gelora.dimension.duplicates import distinct_samples, is_constant
from gelora.dimension.neighbors import as_tensor
from gelora.errors import ConfigError, ConstantStatesWarning, HiddenStatesError

MAX_DISCARD_FRACTION = 0.9
"""With more left out a line is fitted to next to nothing."""


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


@dataclass(frozen=True)
class TwoNN:
    """Intrinsic dimension from the two nearest neighbours (Facco et al. 2017).

    With r1 and r2 the distances of a sample to its first and second neighbour, mu = r2 / r1
    follows a Pareto law whose exponent is the dimension, wherever the density is nearly constant
    on the scale of r2.

    Attributes:
        method: "line" fits a line through the origin to -log(1 - F(mu)) over log(mu);
            "likelihood" is (N - 1) / sum(log mu).
        discard_fraction: Share of the largest ratios that the line leaves out.

    Note:
        How it can mislead. The scale is that of the nearest neighbour: noise finer than the data
        counts as dimensions (hence the two estimators disagree on near-copies and on noise), and
        with more samples the scale shrinks. Above about 10 dimensions it is biased, low where
        the data has edges (half of the truth at 80), high on a torus, and no number of samples
        within reach mends it; differences are compressed alike. Compare only estimates from
        about the same number of samples, best 2,000 or more. Density that changes within r2
        biases it, as does one coordinate whose spread dwarfs the others'. The standard error
        covers chance alone.

    References:
        Facco, d'Errico, Rodriguez, Laio: Estimating the intrinsic dimension of datasets by a
        minimal neighborhood information. Scientific Reports 7, 12140 (2017).

    Example:
        >>> plane = np.random.default_rng(0).normal(size=(1000, 2)) @ np.eye(2, 30)
        >>> estimate = TwoNN().estimate(plane)
        >>> round(estimate.dimension, 1), estimate.num_used
        (2.0, 1000)
    """

    method: Literal["line", "likelihood"] = "line"
    discard_fraction: float = 0.1

    def __post_init__(self) -> None:
        if self.method not in {"line", "likelihood"}:
            raise ConfigError(f"method must be 'line' or 'likelihood'; got {self.method!r}.")
        if not 0 <= self.discard_fraction <= MAX_DISCARD_FRACTION:
            raise ConfigError(
                f"discard_fraction must be between 0 and {MAX_DISCARD_FRACTION}; got "
                f"{self.discard_fraction}."
            )

    def estimate(
        self, points: Float[np.ndarray, "samples width"] | Float[Tensor, "samples width"]
    ) -> DimensionEstimate:
        """Estimate the dimension of the manifold that the points lie on.

        Args:
            points: The samples, in any float type; copies are set aside first, and counted.

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
        samples = distinct_samples([values], level_names=["points"])
        fit = self.fit(log_ratios(samples.distances[0]))
        return DimensionEstimate(
            fit.dimension,
            graph_standard_error(fit.influence, samples.neighbors[0]),
            len(samples.kept),
            samples.num_duplicates,
            samples.num_near_duplicates,
        )

    def fit(self, log_mu: Float[np.ndarray, " samples"]) -> Fit:
        """Fit the dimension to log(r2 / r1) of distinct samples, in any order.

        Raises:
            HiddenStatesError: The ratios are 1, so that no dimension follows.
        """
        if self.method == "likelihood":
            return _fit_likelihood(log_mu)
        return _fit_line(log_mu, self.discard_fraction)


def log_ratios(distances: Float[np.ndarray, "samples 2"]) -> Float[np.ndarray, " samples"]:
    """Return log(mu) = log(r2 / r1) of every sample."""
    return np.log(distances[:, 1] / distances[:, 0])


def graph_standard_error(
    influence: Float[np.ndarray, " samples"], neighbors: Int[np.ndarray, "samples links"]
) -> float:
    """Return the standard error of a mean influence, allowing for shared neighbours.

    The ratios of two samples depend on each other when they touch a common sample, itself or a
    neighbour. So the variance is the sum of influence_i influence_j over all such pairs (i = j
    among them) / N². It is never taken below that of independent samples, the pairs i = j alone,
    as chance could make it, negative even. Checked by simulation in the tests.

    Args:
        influence: Of one estimate, or of one less another on the same samples.
        neighbors: Row numbers of the neighbours, of both estimates in the second case.
    """
    num_samples, num_links = neighbors.shape
    touched = np.column_stack([np.arange(num_samples), neighbors])
    row_starts = np.arange(num_samples + 1) * (num_links + 1)
    incidence = csr_array((np.ones(touched.size), touched.ravel(), row_starts))
    dependent = incidence @ incidence.T
    dependent.data[:] = 1.0
    variance = influence @ (dependent @ influence)
    return math.sqrt(max(variance, influence @ influence)) / num_samples


def _fit_likelihood(log_mu: Float[np.ndarray, " samples"]) -> Fit:
    """Fit by maximum likelihood, (N - 1) / sum x, unbiased for independent x = log mu ~ Exp(d)."""
    total = log_mu.sum()
    if total == 0:
        raise _tied(log_mu)
    dimension = float((len(log_mu) - 1) / total)
    return Fit(dimension, dimension * (1 - dimension * log_mu))


def _fit_line(log_mu: Float[np.ndarray, " samples"], discard_fraction: float) -> Fit:
    """Fit y = d x through the origin, y_i = -log(1 - i/N) on the sorted x_i, the largest left out.

    Facco et al. 2017, steps 4 and 5 of the algorithm. The influence is that of the functional
    d(F) = ∫ x Λ dF / ∫ x² dF, Λ = -log(1 - F), up to F = 1 - discard_fraction, at Exp(d): with
    t = -log(discard_fraction), c = 1 - (1+t) exp(-t), b = 2 - (t² + 2t + 2) exp(-t) it is
    d (c - min(d x, t)² / 2) / b. Its spread is 8 % above the likelihood's at 0.1.
    """
    num_samples = len(log_mu)
    # The largest has F = 1 and an infinite y, so it is left out even when none is discarded.
    num_kept = min(int(num_samples * (1 - discard_fraction)), num_samples - 1)
    kept = np.sort(log_mu)[:num_kept]
    heights = -np.log1p(-np.arange(1, num_kept + 1) / num_samples)
    squares = kept @ kept
    if squares == 0:
        raise _tied(log_mu)
    dimension = float(kept @ heights / squares)
    t = -math.log(discard_fraction) if discard_fraction else math.inf
    c, b = 1.0, 2.0
    if discard_fraction:
        c -= (1 + t) * discard_fraction
        b -= (t**2 + 2 * t + 2) * discard_fraction
    influence = dimension * (c - np.minimum(dimension * log_mu, t) ** 2 / 2) / b
    return Fit(dimension, influence)


def _tied(log_mu: Float[np.ndarray, " samples"]) -> HiddenStatesError:
    ties = np.count_nonzero(log_mu == 0)
    return HiddenStatesError(
        f"{ties} of {len(log_mu)} samples have both neighbours at the same distance, as on a"
        " lattice, so no dimension can be told. Are the values rounded to a grid?"
    )
