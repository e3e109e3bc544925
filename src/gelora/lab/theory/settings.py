"""Settings of the measurements of the theory."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from gelora.settings import Count, Settings

Tolerance = Annotated[
    float,
    Meta(gt=0, lt=1, description="a share of the largest singular value, above 0 and below 1"),
]


@dataclass(frozen=True)
class TheorySettings(Settings):
    """What is measured of the theory, and how far."""

    jacobian_samples: Count = 4
    """Texts at which every block's Jacobians are measured, chosen by the seed."""
    jacobian_rank: Count = 384
    """Singular values of a Jacobian to look for; a rank that reaches it is known to be at least
    that."""
    fisher_samples: Count = 64
    """Labelled texts whose gradients make the Fisher information, chosen by the seed."""
    tolerance: Tolerance = 1e-3
    """Share of the largest singular value above which one counts towards a rank."""
