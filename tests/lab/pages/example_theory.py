"""A record of `gelora verify` as a real one is, made without a model."""

import numpy as np

from gelora.dimension.profile import DimensionProfile
from gelora.lab.theory.record import BlockFisher, BlockJacobian, ModuleUpdate, TheoryRecord
from gelora.lab.theory.spectra import Spectrum
from gelora.ranks import RankPlan

WIDTH = 384
MAX_RANK = 128
NUM_SAMPLES = 4
FISHER_SAMPLES = 32


def example_theory(
    profile: DimensionProfile,
    plan: RankPlan,
    *,
    ranks: dict[str, int] | None = None,
    labelled: bool = True,
    trained: bool = True,
) -> TheoryRecord:
    """Make a record whose Jacobians by the input end at 128 values, still above the tolerance.

    Args:
        profile: Whose blocks.
        plan: Whose modules.
        ranks: Exact ranks by the input of some blocks, by their paths.
        labelled: Whether there is Fisher information.
        trained: Whether there is an adapter; it uses half of each rank, rounded up.
    """
    rng = np.random.default_rng(0)
    jacobians: list[BlockJacobian] = []
    for block in profile.blocks:
        exact = (ranks or {}).get(block)
        by_input = [_decaying(rng, 0.01, rank=exact) for _ in range(NUM_SAMPLES)]
        by_weights = [_decaying(rng, 0.1, rank=100) for _ in range(NUM_SAMPLES)]
        jacobians += [
            BlockJacobian(block, "input", tuple(by_input)),
            BlockJacobian(block, "parameters", tuple(by_weights)),
        ]
    stages = ("before", "after") if trained else ("before",)
    kinds = [(of, stage) for stage in stages for of in ("weights", "lora")] if labelled else []
    return TheoryRecord(
        tolerance=1e-3,
        seed=42,
        jacobians=tuple(jacobians),
        fishers=tuple(
            BlockFisher(block, of, stage, FISHER_SAMPLES, 4 * WIDTH**2, _eigenvalues(rng, stage))
            for of, stage in kinds
            for block in profile.blocks
        ),
        updates=tuple(
            ModuleUpdate(
                module=module.name,
                block=profile.blocks[module.block],
                rank=plan.modules[module.name],
                spectrum=_half_used(plan.modules[module.name]),
            )
            for module in profile.modules
            if trained and module.name in plan.modules
        ),
        fingerprint=profile.fingerprint,
        profile_hash=profile.content_hash(),
        adapter_sha256="cd" * 32 if trained else None,
        seconds={"jacobians": 141.0, **({"fisher": 12.5} if labelled else {})},
    )


def _decaying(rng: np.random.Generator, rate: float, *, rank: int | None) -> Spectrum:
    """Fall by a factor e in 1 / `rate` values; without a rank those left out are as large still."""
    values = np.exp(-rate * np.arange(rank or MAX_RANK) * rng.uniform(0.5, 1.0))
    residual = 0.0 if rank else float(values[-1])
    return Spectrum(tuple(values.tolist()), size=WIDTH, residual=residual)


def _eigenvalues(rng: np.random.Generator, stage: str) -> Spectrum:
    rate = {"before": 0.1, "after": 0.4}[stage]
    values = np.sort(rng.exponential(size=FISHER_SAMPLES))[::-1] * np.exp(
        -rate * np.arange(FISHER_SAMPLES)
    )
    return Spectrum(tuple(values.tolist()), size=4 * WIDTH**2)


def _half_used(rank: int) -> Spectrum:
    used = -(-rank // 2)
    return Spectrum((*(1.0 / 2**i for i in range(used)), *(1e-9,) * (rank - used)), size=rank)
