"""Gride: the intrinsic dimension from the ratio of farther neighbours, the n-th and the 2n-th.

The larger n, the larger the scale and the smaller the error of chance; the larger, too, what
edges and curvature do to it. With n = 1 it is TwoNN by maximum likelihood.
"""

# scipy has no types.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import root_scalar

from gelora.dimension.fitting import Fit, PointEstimator, tied
from gelora.settings import Count, Settings


@dataclass(frozen=True)
class Gride(Settings, PointEstimator):
    """Intrinsic dimension from the ratio mu = r_2n / r_n of two neighbours (Denti et al. 2022).

    Where the density is nearly constant on the scale of r_2n, mu has the density
    d (mu^d - 1)^(n-1) / (B(n, n) mu^(d(2n-1)+1)); the dimension is its maximum likelihood.

    Attributes:
        order: The n of both neighbours.

    Note:
        Its scale is about that of TwoNN on a share 1 / order of the samples, whose estimate it
        repeats with all of them. Beside noise finer than that scale it sees the manifold, where
        TwoNN sees the noise; but edges and curvature bias it more (docs/accuracy.md).

    References:
        Denti, Doimo, Laio, Mira: The generalized ratios intrinsic dimension estimator.
        Scientific Reports 12, 20005 (2022), with n1 = n and n2 = 2n.

    Example:
        >>> plane = np.random.default_rng(0).normal(size=(1000, 2)) @ np.eye(2, 30)
        >>> round(Gride(order=4).estimate(plane).dimension, 1)
        2.0
    """

    order: Count = 2

    @property
    def num_neighbors(self) -> int:
        """The farther of the two neighbours."""
        return 2 * self.order

    def fit_distances(self, distances: Float[np.ndarray, "samples neighbors"]) -> Fit:
        """Fit the dimension to the ascending distances of distinct samples to their neighbours.

        With x = log mu and z = d x the log-likelihood of a sample is log d - n z +
        (n-1) log(1 - exp(-z)) + constant, concave in d. d times its slope is
        1 - n z + (n-1) g(z), g(z) = z / (exp(z) - 1); d² times its curvature is
        -1 - (n-1) g(z) (g(z) + z). The influence is the slope over the mean curvature. As in
        DADApy log d counts N - 1 times for N samples, which makes n = 1 unbiased.

        Raises:
            HiddenStatesError: The distances tie, so that no dimension follows.
        """
        n = self.order
        log_mu = np.log(distances[:, 2 * n - 1] / distances[:, n - 1])
        mean = float(log_mu.mean())
        if mean == 0:
            raise tied(log_mu)

        first = 1 - 1 / len(log_mu)

        def slopes(dimension: float) -> Float[np.ndarray, " samples"]:
            z = dimension * log_mu
            return first - n * z + (n - 1) * _planck(z)

        # Since 1 - z/2 <= g(z) <= 1, the root lies between these; widened by more than rounding.
        top = (first + n - 1) / mean
        bracket = (2 * top / (3 * n - 1) * (1 - 1e-6), top / n * (1 + 1e-6))

        def mean_slope(dimension: float) -> float:
            return float(slopes(dimension).mean())

        dimension = root_scalar(mean_slope, bracket=bracket, rtol=1e-13).root
        z = dimension * log_mu
        curvature = 1 + (n - 1) * (_planck(z) * (_planck(z) + z)).mean()
        return Fit(dimension, dimension * slopes(dimension) / curvature)


def _planck(z: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " samples"]:
    """Return z / (exp(z) - 1) for z >= 0: 1 at 0, and no overflow where exp(z) would."""
    return np.divide(z * np.exp(-z), -np.expm1(-z), out=np.ones_like(z), where=z > 0)
