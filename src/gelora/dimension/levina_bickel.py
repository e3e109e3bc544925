"""Levina and Bickel's estimator: maximum likelihood over the distances of k neighbours.

It averages over the samples the inverses of their own estimates, as MacKay and Ghahramani showed
to be right: the likelihood of all samples together has its maximum there.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Float
from msgspec import Meta

from gelora.dimension.fitting import Fit, PointEstimator, tied
from gelora.settings import Settings


@dataclass(frozen=True)
class LevinaBickel(Settings, PointEstimator):
    """Intrinsic dimension from the distances of the k nearest neighbours.

    Where the density is nearly constant within r_k, the mean of log(r_k / r_j) over j < k has the
    mean 1 / d; the dimension is the inverse of its mean over all samples.

    Attributes:
        num_neighbors: The k; at 2 it is TwoNN by maximum likelihood, but for a factor N / (N - 1).

    Note:
        The least noisy of the estimators, and the one most biased by edges, curvature and uneven
        density, for it looks farthest (docs/accuracy.md).

    References:
        Levina, Bickel: Maximum likelihood estimation of intrinsic dimension. NIPS 17 (2004).
        MacKay, Ghahramani: Comments on "Maximum likelihood estimation of intrinsic
        dimension" (2005), inference.org.uk/mackay/dimension.

    Example:
        >>> plane = np.random.default_rng(0).normal(size=(1000, 2)) @ np.eye(2, 30)
        >>> round(LevinaBickel().estimate(plane).dimension, 1)
        2.0
    """

    num_neighbors: Annotated[int, Meta(ge=2, description="a whole number, at least 2")] = 20

    def fit_distances(self, distances: Float[np.ndarray, "samples neighbors"]) -> Fit:
        """Fit the dimension to the ascending distances of distinct samples to their neighbours.

        Raises:
            HiddenStatesError: The distances tie, so that no dimension follows.
        """
        logs = np.log(distances[:, : self.num_neighbors])
        inverses = (logs[:, -1:] - logs[:, :-1]).mean(axis=1)
        mean = float(inverses.mean())
        if mean == 0:
            raise tied(inverses)
        return Fit(1 / mean, (1 - inverses / mean) / mean)
