"""The dimensions that `DimensionCallback` measured again in training, from the Trainer's log."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from gelora.dimension.profile import DimensionProfile
from gelora.report.drawing import WIDTH, label_ends, label_layers, varying
from gelora.report.stacks import stack_layouts
from gelora.report.theme import BLUE, MUTED, themed

MAX_CURVES = 6
_HEIGHT = 2.6

History = Sequence[tuple[int, tuple[float, ...]]]
"""Steps of training, ascending, each with the dimension of every layer."""


def read_history(profile: DimensionProfile, history: Sequence[Mapping[str, Any]]) -> History:
    """Return the dimensions by step; empty with fewer than two measurements."""
    blocks = {path: f"block_{i:02d}" for i, path in enumerate(profile.blocks, start=1)}
    parts = (layer.partition("/") for layer in profile.layers)
    names = [
        f"gelora/dimension/{blocks.get(path, path)}{slash}{half}" for path, slash, half in parts
    ]
    measured = {
        int(entry["step"]): tuple(float(entry[name]) for name in names)
        for entry in history
        if entry.keys() >= set(names)
    }
    return sorted(measured.items()) if len(measured) > 1 else []


@themed
def history_figure(profile: DimensionProfile, history: History) -> Figure:
    """Draw the dimension at every layer, one curve for each of up to six steps of training."""
    figure = Figure(figsize=(WIDTH, _HEIGHT + 0.4), layout="constrained")
    axes = figure.subplots()
    layouts = stack_layouts(profile)
    errors = np.array(profile.standard_errors)
    shown = np.linspace(0, len(history) - 1, min(MAX_CURVES, len(history))).round().astype(int)
    ends: list[tuple[float, float, str, str]] = []
    for place, index in enumerate(shown):
        step, dimensions = history[index][0], np.array(history[index][1])
        is_last = place == len(shown) - 1
        colour = BLUE if is_last else MUTED
        strength = 0.35 + 0.65 * place / (len(shown) - 1)
        for layout in layouts:
            layers, positions = varying(profile, layout)
            values, error = dimensions[layers], errors[layers]
            axes.plot(positions, values, color=colour, alpha=strength, linewidth=1.5)
            if place == 0:
                axes.fill_between(
                    positions, values - error, values + error, color=MUTED, alpha=0.15, linewidth=0
                )
            if layout is layouts[-1] and layers:
                ends.append((positions[-1], values[-1], f"step {step:,}", colour))
    axes.margins(x=0.1, y=0.15)
    axes.set_title("Dimension at steps of training; ± 1 standard error at the first")
    label_layers(axes, layouts)
    label_ends(axes, ends, height=_HEIGHT)
    return figure


def largest_move(history: History) -> int:
    """Return the layer whose dimension moved most from the first measurement to the last."""
    return int(np.abs(np.subtract(history[-1][1], history[0][1])).argmax())
