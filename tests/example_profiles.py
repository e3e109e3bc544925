"""Profiles with chosen dimensions, for tests of what comes after measuring."""

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import cycle, islice, pairwise

from torch import nn

from gelora.dimension.profile import (
    HALVES,
    BlockModule,
    DecimatedDimensions,
    DimensionProfile,
    DimensionSeries,
    Role,
    sublayer_names,
)
from gelora.hidden_states.architectures import find_architecture, model_fingerprint
from gelora.settings import Granularity, MeasurementSettings

DIMENSIONS = (5, 8, 6, 7)  # over and over; for three blocks the paper's ranks are 4, 1 and 2
ATTENTION: tuple[Role, ...] = ("query", "key", "value", "output")


def make_profile(
    dimensions: Sequence[float],
    *,
    granularity: Granularity = "block",
    width: int = 32,
    key_width: int | None = None,
) -> DimensionProfile:
    """One stack; each block has four attention modules and one MLP module of twice the width."""
    num_sublayers = len(dimensions) - 1
    num_blocks = num_sublayers if granularity == "block" else num_sublayers // len(HALVES)
    blocks = tuple(f"layer.{i}" for i in range(num_blocks))
    modules = []
    for index, block in enumerate(blocks):
        for role in ATTENTION:
            out = key_width if key_width and role in {"key", "value"} else width
            modules.append(BlockModule(f"{block}.{role}", index, role, width, out))
        modules.append(BlockModule(f"{block}.up", index, "mlp", width, 2 * width))
    series = DimensionSeries(
        dimensions=tuple(map(float, dimensions)),
        standard_errors=(0.1,) * len(dimensions),
        increments=tuple(float(b - a) for a, b in pairwise(dimensions)),
        increment_standard_errors=(0.05,) * num_sublayers,
    )
    return DimensionProfile(
        settings=MeasurementSettings(pooling="mean", granularity=granularity),
        series={"twonn_linfit": series, "twonn_mle": series},
        layers=("embeddings", *sublayer_names(blocks, granularity)),
        blocks=blocks,
        modules=tuple(modules),
        fingerprint={"model_type": "none", "architecture": "0"},
        seed=0,
        num_texts=100,
        stopped_by="num_samples",
        num_used=98,
        num_duplicates=1,
        num_near_duplicates=1,
        forward_tokens=1000,
        constant_layers=(),
        log_mu_quantiles=((0.1, 0.2),) * len(dimensions),
        decimation=(
            DecimatedDimensions(98, series.dimensions, series.standard_errors),
            DecimatedDimensions(49, series.dimensions, series.standard_errors),
        ),
        verdicts=("stable",) * len(dimensions),
        biased_layers=(),
        top_variance_shares=(0.1,) * len(dimensions),
    )


def with_settings(profile: DimensionProfile, **settings) -> DimensionProfile:
    """Return a profile as if it was measured in another way."""
    return replace(profile, settings=replace(profile.settings, **settings))


def profile_of(model: nn.Module, *, granularity: Granularity = "block") -> DimensionProfile:
    """Return a profile of a real model, measured by nobody: each of its stacks has DIMENSIONS."""
    architecture = find_architecture(model)
    sublayers = [sublayer_names(stack.blocks, granularity) for stack in architecture.stacks]
    profiles = [
        make_profile(list(islice(cycle(DIMENSIONS), len(own) + 1)), granularity=granularity)
        for own in sublayers
    ]
    layers = [
        layer
        for stack, own in zip(architecture.stacks, sublayers, strict=True)
        for layer in (f"{stack.name} embeddings", *own)
    ]
    series = DimensionSeries(
        **{
            field.name: sum(
                (getattr(one.series["twonn_linfit"], field.name) for one in profiles), ()
            )
            for field in fields(DimensionSeries)
        }
    )
    return replace(
        profiles[0],
        series={"twonn_linfit": series, "twonn_mle": series},
        layers=tuple(layers),
        blocks=tuple(block for stack in architecture.stacks for block in stack.blocks),
        modules=architecture.modules,
        fingerprint=model_fingerprint(model),
        log_mu_quantiles=((0.1, 0.2),) * len(layers),
        decimation=(DecimatedDimensions(98, series.dimensions, series.standard_errors),),
        verdicts=("stable",) * len(layers),
        top_variance_shares=(0.1,) * len(layers),
    )
