"""From texts and a model to a `DimensionProfile`."""

from gelora.measurement.measure import measure_dimensions, measure_hidden_states

__all__ = ["measure_dimensions", "measure_hidden_states"]
