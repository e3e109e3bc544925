"""TwoNN: the intrinsic dimension from the ratio of the two nearest distances.

Two estimators of the same law, by a line and by maximum likelihood, each with the influence of
every sample on it. It tests no other scale: see `gride.py` and `stability.py`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from gelora.dimension.fitting import Fit, PointEstimator, tied
from gelora.settings import DiscardFraction, Settings


@dataclass(frozen=True)
class TwoNN(Settings, PointEstimator):
    """Intrinsic dimension from the two nearest neighbours (Facco et al. 2017).

    With r1 and r2 the distances of a sample to its first and second neighbour, mu = r2 / r1
    follows a Pareto law whose exponent is the dimension, wherever the density is nearly constant
    on the scale of r2.

    Attributes:
        method: "linfit" fits a line through the origin to -log(1 - F(mu)) over log(mu);
            "mle" is (N - 1) / sum(log mu).
        discard_fraction: Share of the largest ratios that "linfit" leaves out, at most 0.9.

    Raises:
        ConfigError: There is no such method, or no such fraction.

    Note:
        How it can mislead. The scale is that of the nearest neighbour: noise finer than the data
        counts as dimensions, near-copies hide them (the two methods then disagree), and with more
        samples the scale shrinks. From about 6 dimensions it can be off by a tenth or more, low
        where the data has edges (half of the truth at 80), high on a torus, and no number of
        samples within reach mends it; differences are compressed alike. Compare only estimates
        from about the same number of samples, best 2,000 or more. Density that changes within r2
        biases it, as does one coordinate whose spread dwarfs the others'. The standard error
        covers chance alone. docs/accuracy.md has the tables.

    References:
        Facco, d'Errico, Rodriguez, Laio: Estimating the intrinsic dimension of datasets by a
        minimal neighborhood information. Scientific Reports 7, 12140 (2017).

    Example:
        >>> plane = np.random.default_rng(0).normal(size=(1000, 2)) @ np.eye(2, 30)
        >>> estimate = TwoNN().estimate(plane)
        >>> round(estimate.dimension, 1), estimate.num_used
        (2.0, 1000)
    """

    method: Literal["linfit", "mle"] = "linfit"
    discard_fraction: DiscardFraction = 0.1

    @property
    def num_neighbors(self) -> int:
        """Both of them."""
        return 2

    def fit_distances(self, distances: Float[np.ndarray, "samples neighbors"]) -> Fit:
        """Fit the dimension to the ascending distances of distinct samples to their neighbours.

        Raises:
            HiddenStatesError: The distances tie, so that no dimension follows.
        """
        log_mu = log_ratios(distances)
        if self.method == "mle":
            return _fit_likelihood(log_mu)
        return _fit_line(log_mu, self.discard_fraction)


def log_ratios(distances: Float[np.ndarray, "samples neighbors"]) -> Float[np.ndarray, " samples"]:
    """Return log(mu) = log(r2 / r1) of every sample."""
    return np.log(distances[:, 1] / distances[:, 0])


def _fit_likelihood(log_mu: Float[np.ndarray, " samples"]) -> Fit:
    """Fit by maximum likelihood, (N - 1) / sum x, unbiased for independent x = log mu ~ Exp(d)."""
    total = log_mu.sum()
    if total == 0:
        raise tied(log_mu)
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
        raise tied(log_mu)
    dimension = float(kept @ heights / squares)
    t = -math.log(discard_fraction) if discard_fraction else math.inf
    c, b = 1.0, 2.0
    if discard_fraction:
        c -= (1 + t) * discard_fraction
        b -= (t**2 + 2 * t + 2) * discard_fraction
    influence = dimension * (c - np.minimum(dimension * log_mu, t) ** 2 / 2) / b
    return Fit(dimension, influence)
