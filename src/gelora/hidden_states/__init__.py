"""From texts and a model to a `DimensionProfile`: blocks, hooks, pooling, one pass, kept states.

The names below are loaded when first used, for the files of a model are looked at without torch.
"""

from typing import TYPE_CHECKING

from gelora.lazy import loader

if TYPE_CHECKING:
    from gelora.hidden_states.measure import measure_dimensions, measure_hidden_states

__all__ = ["measure_dimensions", "measure_hidden_states"]

__getattr__ = loader(__name__, dict.fromkeys(__all__, "gelora.hidden_states.measure"))
