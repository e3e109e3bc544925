"""The estimators by the names that flags, profiles and reports use."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from gelora.dimension.fitting import Estimator
from gelora.dimension.gride import Gride
from gelora.dimension.levina_bickel import LevinaBickel
from gelora.dimension.twonn import TwoNN
from gelora.settings import EstimatorName, checked

_MAKERS: Mapping[EstimatorName, Callable[[float], Estimator]] = MappingProxyType(
    {
        "twonn_linfit": lambda discard_fraction: TwoNN("linfit", discard_fraction),
        "twonn_mle": lambda _: TwoNN("mle"),
        "gride_2": lambda _: Gride(2),
        "gride_4": lambda _: Gride(4),
        "gride_8": lambda _: Gride(8),
        "levina_bickel": lambda _: LevinaBickel(),
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
    return _MAKERS[checked("estimator", name, EstimatorName)](discard_fraction)
