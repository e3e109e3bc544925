"""LoRA ranks from the geometry of your own data, before training.

The names below are loaded when first used (PEP 562), so that importing gelora imports no torch.
"""

from typing import TYPE_CHECKING

from gelora.lazy import loader

if TYPE_CHECKING:
    from gelora.adapters import lora_config, verify_ranks
    from gelora.cutting.cut import cut
    from gelora.cutting.record import AdapterCut
    from gelora.dimension.profile import DimensionProfile
    from gelora.dimension.twonn import TwoNN
    from gelora.errors import GeloraError
    from gelora.exports import export_uniform
    from gelora.gelora_model import GeloraConfig, get_gelora_model
    from gelora.hidden_states import measure_dimensions, measure_hidden_states
    from gelora.lab.comparison import compare
    from gelora.ranks import RankPlan, compare_profiles, plan_ranks
    from gelora.report import write_report
    from gelora.settings import CutSettings, MeasurementSettings, RankSettings
    from gelora.tasks import Chats
    from gelora.tasks.evaluate import evaluate
    from gelora.tasks.train import train
    from gelora.training import DimensionCallback
    from gelora.training.cut_callback import CutCallback

_HOMES = {
    "AdapterCut": "gelora.cutting.record",
    "Chats": "gelora.tasks",
    "DimensionCallback": "gelora.training",
    "DimensionProfile": "gelora.dimension.profile",
    "GeloraConfig": "gelora.gelora_model",
    "GeloraError": "gelora.errors",
    "MeasurementSettings": "gelora.settings",
    "RankPlan": "gelora.ranks",
    "CutCallback": "gelora.training.cut_callback",
    "CutSettings": "gelora.settings",
    "RankSettings": "gelora.settings",
    "TwoNN": "gelora.dimension.twonn",
    "compare": "gelora.lab.comparison",
    "compare_profiles": "gelora.ranks",
    "cut": "gelora.cutting.cut",
    "evaluate": "gelora.tasks.evaluate",
    "export_uniform": "gelora.exports",
    "get_gelora_model": "gelora.gelora_model",
    "lora_config": "gelora.adapters",
    "measure_dimensions": "gelora.hidden_states",
    "measure_hidden_states": "gelora.hidden_states",
    "plan_ranks": "gelora.ranks",
    "train": "gelora.tasks.train",
    "verify_ranks": "gelora.adapters",
    "write_report": "gelora.report",
}

__all__ = [
    "AdapterCut",
    "Chats",
    "CutCallback",
    "CutSettings",
    "DimensionCallback",
    "DimensionProfile",
    "GeloraConfig",
    "GeloraError",
    "MeasurementSettings",
    "RankPlan",
    "RankSettings",
    "TwoNN",
    "compare",
    "compare_profiles",
    "cut",
    "evaluate",
    "export_uniform",
    "get_gelora_model",
    "lora_config",
    "measure_dimensions",
    "measure_hidden_states",
    "plan_ranks",
    "train",
    "verify_ranks",
    "write_report",
]

__version__ = "0.1.0"


__getattr__ = loader(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
