"""Bottleneck adapters: a small network with a residual connection behind a sublayer's output.

Houlsby et al. 2019 (arXiv 1902.00751) put one behind attention's output projection and one behind
the feed-forward layer; Pfeiffer et al. 2021 (arXiv 2005.00247) keep the second alone. Both stand
here before the block adds its input and normalises, and train no norms: so are they counted in the
comparison of AdaLoRA (arXiv 2303.10512), d(2w + 1) + w parameters each at width w. (Houlsby's
paper also trains the norms; Pfeiffer's adapter as published stands behind one.)
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from transformers import PreTrainedModel

from gelora.dimension.profile import BlockModule
from gelora.errors import ArchitectureError
from gelora.hidden_states.architectures import Architecture, find_architecture
from gelora.lab.baselines.freezing import train_with_head
from gelora.lab.baselines.method import Applied, Method, Setting, Size, nearest_size

ADAPTER = "bottleneck"
# Both matrices are drawn from a normal law cut at twice this, as in google-research/adapter-bert.
SCALE = 1e-3


class Kind(NamedTuple):
    """What tells one author's adapters from another's."""

    after_attention: bool
    nonlinearity: Callable[[], nn.Module]


# The nonlinearities of google-research/adapter-bert and of AdapterHub's published adapters.
KINDS: Mapping[str, Kind] = {
    "houlsby": Kind(after_attention=True, nonlinearity=nn.GELU),
    "pfeiffer": Kind(after_attention=False, nonlinearity=nn.ReLU),
}


class Bottleneck(nn.Module):
    """The adapter of Houlsby et al. (their section on instantiation): x + up(f(down(x))).

    Near the identity at the start.

    Args:
        width: Of the states.
        size: Of the bottleneck.
        nonlinearity: The paper's f.
    """

    def __init__(self, width: int, size: int, nonlinearity: nn.Module) -> None:
        super().__init__()
        self.down = nn.Linear(width, size)
        self.nonlinearity = nonlinearity
        self.up = nn.Linear(size, width)
        for layer in (self.down, self.up):
            nn.init.trunc_normal_(layer.weight, std=SCALE, a=-2 * SCALE, b=2 * SCALE)
            nn.init.zeros_(layer.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Add to the states, of shape (..., width), and keep their precision."""
        inside = self.nonlinearity(self.down(states.to(self.down.weight.dtype)))
        return states + self.up(inside).to(states.dtype)


def places(model: nn.Module, *, after_attention: bool) -> list[BlockModule]:
    """Return the projections that an adapter goes behind, in the model's order.

    Args:
        model: With or without a head.
        after_attention: Behind every attention's output too, not the feed-forward layer's alone.

    Raises:
        ArchitectureError: They cannot be told in some block.
    """
    architecture = find_architecture(model)
    found: list[BlockModule] = []
    for index in range(len(architecture.blocks)):
        outputs, last = _outputs(architecture, index)
        found += [*outputs, last] if after_attention else [last]
    return found


def _outputs(architecture: Architecture, index: int) -> tuple[list[BlockModule], BlockModule]:
    """Return a block's output projections: of its attentions, and of its feed-forward layer."""
    inside = [module for module in architecture.modules if module.block == index]
    attention = [module for module in inside if module.role == "output"]
    # It is the last of its layer, and brings the states back to the width of the block.
    feed_forward = [module for module in inside if module.role == "mlp"][-1:]
    widths = {module.out_features for module in (*attention, *feed_forward)}
    if not attention or not feed_forward or len(widths) > 1:
        block = architecture.blocks[index]
        seen = ", ".join(module.name.removeprefix(f"{block}.") for module in inside)
        raise ArchitectureError(
            f"In block {block} the outputs of attention and of the feed-forward layer cannot be "
            f"told among {seen}: leave out houlsby and pfeiffer."
        )
    return attention, feed_forward[0]


def insert(model: PreTrainedModel, name: str, size: int) -> list[str]:
    """Put the adapters into a model, and return the names of their parameters.

    Args:
        model: Changed in place: its projections keep their paths and get a child each.
        name: "houlsby" or "pfeiffer".
        size: Of the bottleneck.

    Raises:
        ArchitectureError: As `places`.
    """
    kind = KINDS[name]
    prefix = find_architecture(model).prefix
    names: list[str] = []
    for place in places(model, after_attention=kind.after_attention):
        path = f"{prefix}{place.name}"
        projection = model.get_submodule(path)
        device = next(projection.parameters()).device
        adapter = Bottleneck(place.out_features, size, kind.nonlinearity()).to(device)
        projection.add_module(ADAPTER, adapter)
        projection.register_forward_hook(_pass_through)
        names += [f"{path}.{ADAPTER}.{each}" for each, _ in adapter.named_parameters()]
    return names


def _pass_through(projection: nn.Module, _args: tuple[Any, ...], output: Tensor) -> Tensor:
    return projection.get_submodule(ADAPTER)(output)


def _method(name: str, kind: Kind) -> Method:
    def size(model: PreTrainedModel, budget: int, setting: Setting) -> Size:
        del setting
        found = places(model, after_attention=kind.after_attention)
        widths = [place.out_features for place in found]
        return nearest_size(
            budget,
            lambda size: sum(size * (2 * width + 1) + width for width in widths),
            largest=max(widths),
        )

    def apply(model: PreTrainedModel, size: Size, setting: Setting) -> Applied:
        train_with_head(model, setting.problem, insert(model, name, size.value))
        return Applied(model)

    return Method(name, size=size, apply=apply)


METHODS: Mapping[str, Method] = {name: _method(name, kind) for name, kind in KINDS.items()}
