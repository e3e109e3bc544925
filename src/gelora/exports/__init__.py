"""An adapter, or a plan, in the form that other programs read: without a change of function."""

from gelora.exports.axolotl import axolotl_settings, export_axolotl
from gelora.exports.merged import export_merged
from gelora.exports.planned import export_peft_config, export_untrained
from gelora.exports.saved import verify_same_update
from gelora.exports.uniform import UNIFORM_RANKS, export_uniform

__all__ = [
    "UNIFORM_RANKS",
    "axolotl_settings",
    "export_axolotl",
    "export_merged",
    "export_peft_config",
    "export_uniform",
    "export_untrained",
    "verify_same_update",
]
