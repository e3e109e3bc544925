"""The estimators by the names that flags, profiles and reports use."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from gelora.dimension.fitting import Estimator
from gelora.dimension.gride import Gride
from gelora.dimension.knn_likelihood import KNNLikelihood
from gelora.dimension.twonn import TwoNN
from gelora.errors import ConfigError

_MAKERS: Mapping[str, Callable[[float], Estimator]] = MappingProxyType(
    {
        "twonn_line": lambda discard_fraction: TwoNN("line", discard_fraction),
        "twonn_likelihood": lambda _: TwoNN("likelihood"),
        "gride_2": lambda _: Gride(2),
        "gride_4": lambda _: Gride(4),
        "gride_8": lambda _: Gride(8),
        "knn_likelihood": lambda _: KNNLikelihood(),
    }
)

ESTIMATORS = tuple(_MAKERS)
"""All names, the default first; `gride_n` takes the ratio of the 2n-th neighbour to the n-th."""


def make_estimator(name: str, *, discard_fraction: float = 0.1) -> Estimator:
    """Return an estimator by its name.

    Args:
        name: One of `ESTIMATORS`.
        discard_fraction: Share of the largest ratios that the line of TwoNN leaves out; the
            others have no use for it.

    Raises:
        ConfigError: There is no such estimator, or no such fraction.
    """
    if name not in _MAKERS:
        raise ConfigError(f"estimator must be one of {', '.join(ESTIMATORS)}; got {name!r}.")
    return _MAKERS[name](discard_fraction)
