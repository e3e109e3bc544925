"""Profiles with chosen dimensions, for tests of what comes after measuring."""

from collections.abc import Sequence
from itertools import pairwise

from gelora.dimension.profile import BlockModule, DimensionProfile, DimensionSeries, Role

ATTENTION: tuple[Role, ...] = ("query", "key", "value", "output")


def make_profile(
    dimensions: Sequence[float], *, width: int = 32, key_width: int | None = None
) -> DimensionProfile:
    """One stack; each block has four attention modules and one MLP module of twice the width."""
    num_blocks = len(dimensions) - 1
    blocks = tuple(f"layer.{i}" for i in range(num_blocks))
    modules = []
    for index, block in enumerate(blocks):
        for role in ATTENTION:
            out = key_width if key_width and role in {"key", "value"} else width
            modules.append(BlockModule(f"{block}.{role}", index, role, width, out))
        modules.append(BlockModule(f"{block}.up", index, "mlp", width, 2 * width))
    series = DimensionSeries(
        dimensions=tuple(dimensions),
        standard_errors=(0.1,) * len(dimensions),
        increments=tuple(b - a for a, b in pairwise(dimensions)),
        increment_standard_errors=(0.05,) * num_blocks,
    )
    return DimensionProfile(
        estimator="twonn_line",
        series={"twonn_line": series, "twonn_likelihood": series},
        levels=("embeddings", *blocks),
        blocks=blocks,
        modules=tuple(modules),
        fingerprint={"model_type": "none", "architecture": "0", "weights": None},
        pooling="mean",
        discard_fraction=0.1,
        seed=0,
        num_texts=100,
        num_used=98,
        num_duplicates=1,
        num_near_duplicates=1,
        forward_tokens=1000,
        constant_levels=(),
        log_mu_quantiles=((0.1, 0.2),) * len(dimensions),
    )
