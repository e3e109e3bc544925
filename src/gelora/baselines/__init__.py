"""The methods that gelora is compared with: one file for each that PEFT lacks."""

from gelora.baselines.frozen_encoder import frozen_encoder_baseline

__all__ = ["frozen_encoder_baseline"]
