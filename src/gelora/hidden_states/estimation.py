"""From stored states to a profile: the estimates, what speaks for them, and what was measured.

It knows no model and reads no text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.distributed import ProcessGroup

from gelora.dimension.layers import LayerEstimates, LayerStates, estimate_layers
from gelora.dimension.profile import DimensionProfile, sublayer_names
from gelora.dimension.stability import LayerDiagnostics, assess_layers
from gelora.hidden_states.store import HiddenStatesRecord
from gelora.settings import MeasurementSettings

_UNASSESSED = LayerDiagnostics(decimation=(), verdicts=(), biased_layers=(), top_variance_shares=())


@dataclass(frozen=True)
class Estimation:
    """How dimensions are estimated, and with which processes and device."""

    settings: MeasurementSettings
    device: torch.device | None = None
    group: ProcessGroup | None = None

    def estimate(self, layers: Sequence[LayerStates], record: HiddenStatesRecord) -> LayerEstimates:
        """Estimate the dimensions of the record's states."""
        sublayers = sublayer_names(record.blocks, record.settings.granularity)
        return estimate_layers(
            layers,
            layer_names=record.layers,
            first_layers=[i for i, layer in enumerate(record.layers) if layer not in sublayers],
            estimator=self.settings.estimator,
            all_estimators=self.settings.all_estimators,
            discard_fraction=self.settings.discard_fraction,
            device=self.device,
            process_group=self.group,
        )

    def assess(
        self, layers: Sequence[LayerStates], found: LayerEstimates, record: HiddenStatesRecord
    ) -> LayerDiagnostics:
        """Judge the estimates, and warn of those that cannot be trusted."""
        return assess_layers(
            layers,
            found,
            layer_names=record.layers,
            estimator=self.settings.estimator,
            discard_fraction=self.settings.discard_fraction,
            seed=record.seed,
            device=self.device,
            process_group=self.group,
        )

    def profile(
        self,
        record: HiddenStatesRecord,
        found: LayerEstimates,
        trust: LayerDiagnostics = _UNASSESSED,
    ) -> DimensionProfile:
        """Put together what was measured, what was found, and how far to trust it."""
        return DimensionProfile(
            settings=self.settings,
            series=found.series,
            layers=record.layers,
            blocks=record.blocks,
            modules=record.modules,
            left_out=record.left_out,
            fingerprint=record.fingerprint,
            seed=record.seed,
            num_texts=record.num_texts,
            stopped_by=record.stopped_by,
            num_used=found.num_used,
            num_duplicates=record.num_copies + found.num_duplicates,
            num_near_duplicates=found.num_near_duplicates,
            forward_tokens=record.forward_tokens,
            constant_layers=found.constant_layers,
            log_mu_quantiles=found.log_mu_quantiles,
            decimation=trust.decimation,
            verdicts=trust.verdicts,
            biased_layers=trust.biased_layers,
            top_variance_shares=trust.top_variance_shares,
        )
