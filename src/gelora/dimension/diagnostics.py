"""What each verdict means and what to do about it: one table for warnings, advice and the report.

The rules by which verdicts are given are in `verdicts.py`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from gelora.dimension.profile import Verdict


class Remedy(NamedTuple):
    """Two halves of a sentence, each without its end.

    Attributes:
        seen: What was seen; goes on from "the dimension".
        advice: What to do; "" where there is nothing to do.
    """

    seen: str
    advice: str


REMEDIES: Mapping[Verdict, Remedy] = MappingProxyType(
    {
        "stable": Remedy("holds on halves, quarters and so on of the samples", ""),
        "noisy": Remedy(
            "falls from near neighbours to far ones, as by noise finer than the states' shape",
            "compare layers rather than trust the numbers, or take --estimator gride_8",
        ),
        "duplicated": Remedy(
            "rests on texts that nearly repeat others, as those that share a sentence do",
            "give texts that differ more, or fewer from each source",
        ),
        "too few samples": Remedy(
            "has a large error, or still rises from near neighbours to far ones",
            "give more texts, with a larger --num_samples and --precision 0, or fewer texts that "
            "resemble others",
        ),
        "constant": Remedy(
            "is 0, for the states repeat over distinct texts",
            "choose another --pooling if growth out of such a layer is to count",
        ),
    }
)

DOUBTFUL: tuple[Verdict, ...] = ("noisy", "duplicated", "too few samples")
"""Verdicts on a dimension that was fitted and is not to be relied on."""


def advice_on(verdict: Verdict, *, estimator: str) -> str:
    """Return what to do about a verdict on an estimator's dimension; "" if there is nothing.

    It does not advise the estimator that was used.
    """
    return REMEDIES[verdict].advice.removesuffix(f", or take --estimator {estimator}")
