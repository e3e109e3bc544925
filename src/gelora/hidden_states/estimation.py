"""From stored states to a profile: the estimates, what speaks for them, and what was measured.

It knows no model and reads no text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.distributed import ProcessGroup

from gelora.dimension.estimators import make_estimator
from gelora.dimension.levels import Level, LevelEstimates, estimate_levels
from gelora.dimension.profile import DimensionProfile, step_names
from gelora.dimension.stability import LevelTrust, assess_levels
from gelora.hidden_states.store import HiddenStatesRecord

_UNASSESSED = LevelTrust(decimation=(), verdicts=(), biased_levels=(), top_variance_shares=())


@dataclass(frozen=True)
class Estimation:
    """How dimensions are estimated: the arguments of `estimate_levels`, given once.

    Raises:
        ConfigError: There is no such estimator, or no such fraction.
    """

    estimator: str
    all_estimators: bool
    discard_fraction: float
    device: torch.device | None = None
    group: ProcessGroup | None = None

    def __post_init__(self) -> None:
        make_estimator(self.estimator, discard_fraction=self.discard_fraction)

    def estimate(self, levels: Sequence[Level], record: HiddenStatesRecord) -> LevelEstimates:
        """Estimate the dimensions of the record's states."""
        steps = step_names(record.blocks, record.granularity)
        return estimate_levels(
            levels,
            level_names=record.levels,
            first_levels=[i for i, level in enumerate(record.levels) if level not in steps],
            estimator=self.estimator,
            all_estimators=self.all_estimators,
            discard_fraction=self.discard_fraction,
            device=self.device,
            process_group=self.group,
        )

    def assess(
        self, levels: Sequence[Level], found: LevelEstimates, record: HiddenStatesRecord
    ) -> LevelTrust:
        """Judge the estimates, and warn of those that cannot be trusted."""
        return assess_levels(
            levels,
            found,
            level_names=record.levels,
            estimator=self.estimator,
            discard_fraction=self.discard_fraction,
            seed=record.seed,
            device=self.device,
            process_group=self.group,
        )

    def profile(
        self, record: HiddenStatesRecord, found: LevelEstimates, trust: LevelTrust = _UNASSESSED
    ) -> DimensionProfile:
        """Put together what was measured, what was found, and how far to trust it."""
        return DimensionProfile(
            estimator=self.estimator,
            series=found.series,
            levels=record.levels,
            blocks=record.blocks,
            modules=record.modules,
            left_out=record.left_out,
            fingerprint=record.fingerprint,
            granularity=record.granularity,
            states=record.states,
            pooling=record.pooling,
            discard_fraction=self.discard_fraction,
            seed=record.seed,
            num_texts=record.num_texts,
            precision=record.precision,
            stopped_by=record.stopped_by,
            num_used=found.num_used,
            num_duplicates=record.num_copies + found.num_duplicates,
            num_near_duplicates=found.num_near_duplicates,
            forward_tokens=record.forward_tokens,
            constant_levels=found.constant_levels,
            log_mu_quantiles=found.log_mu_quantiles,
            decimation=trust.decimation,
            verdicts=trust.verdicts,
            biased_levels=trust.biased_levels,
            top_variance_shares=trust.top_variance_shares,
        )
