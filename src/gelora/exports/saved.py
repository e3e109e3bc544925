"""A LoRA adapter as it lies on disk: its settings, its tensors, and the update of each module.

Read without the model, as servers read it. Which rank and alpha a module has is PEFT's rule.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from peft.utils.other import get_pattern_key
from safetensors.torch import load_file, save_file
from torch import Tensor

from gelora.artifacts import canonical_json, write_text
from gelora.errors import ArtifactError, RankError

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
_PICKLED_NAME = "adapter_model.bin"
PREFIX = "base_model.model."
A_SUFFIX, B_SUFFIX = ".lora_A.weight", ".lora_B.weight"

_PLAIN_INITS = frozenset({"gaussian", "eva", "orthogonal", "lora_ga"})
"""A saved adapter is all there is to these. Others change the base weights again on loading, by the
rank (PiSSA, OLoRA, CorDA, LoftQ), or the forward pass (MiCA)."""


# Forms of LoRA whose matrices are not those of one Linear.
_OTHER_FORMS = ("target_parameters", "use_qalora", "use_bdlora", "arrow_config", "kasa_config")
_OTHER_FORMS += ("monteclora_config",)
_FREE_OF_RANK = (".lora_magnitude_vector", ".lora_B.bias")


class Factors(NamedTuple):
    """What LoRA adds to a module's weight: `scale * b @ a`."""

    a: Float[Tensor, "rank in_features"]
    b: Float[Tensor, "out_features rank"]
    scale: float

    @property
    def cost(self) -> int:
        """Parameters of one rank: a row of A and a column of B."""
        return self.a.shape[1] + self.b.shape[0]

    def cpu(self) -> "Factors":
        """Return the same factors on the CPU."""
        return Factors(self.a.cpu(), self.b.cpu(), self.scale)

    def roots(self) -> tuple[Float[Tensor, "_ rank"], Float[Tensor, "rank _"]]:
        """Return L and R, in float64, for which L R has the singular values of b @ a.

        They are no larger than the rank: b = Q L and a = R P with orthonormal columns of Q and
        rows of P.
        """
        left = torch.linalg.qr(self.b.double(), mode="r").R
        return left, torch.linalg.qr(self.a.double().T, mode="r").R.T

    def update(self) -> Float[Tensor, "out_features in_features"]:
        """Return the product, in float32."""
        return self.scale * (self.b.float() @ self.a.float())


@dataclass(frozen=True)
class SavedAdapter:
    """The two files of an adapter.

    Attributes:
        config: What adapter_config.json holds.
        tensors: Those of adapter_model.safetensors, by name.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def init_beyond_it(self) -> str | None:
        """The `init_lora_weights` by which loading does more than add these factors, if any."""
        init = self.config.get("init_lora_weights", True)
        return init if isinstance(init, str) and init not in _PLAIN_INITS else None

    def factors(self) -> dict[str, Factors]:
        """Return the two matrices and the scale of every adapted module, by its path."""
        return {
            name.removeprefix(PREFIX).removesuffix(A_SUFFIX): Factors(
                a, self.tensors[name.removesuffix(A_SUFFIX) + B_SUFFIX], self._scale(name, len(a))
            )
            for name, a in self.tensors.items()
            if name.endswith(A_SUFFIX)
        }

    def _scale(self, name: str, rank: int) -> float:
        """Return alpha/r as PEFT computes it on loading."""
        path = name.removeprefix(PREFIX).removesuffix(A_SUFFIX)
        patterns: dict[str, float] = self.config.get("alpha_pattern") or {}
        key: str = get_pattern_key(list(patterns), path)  # the path itself where none matches
        alpha = patterns[key] if key in patterns else self.config["lora_alpha"]
        return alpha / (math.sqrt(rank) if self.config.get("use_rslora") else rank)

    def saved_modules(self) -> tuple[str, ...]:
        """Return the paths of modules that are saved whole beside the adapter: a head, a pooler."""
        whole = (name for name in self.tensors if ".lora_" not in name)
        return tuple(sorted({name.removeprefix(PREFIX).rpartition(".")[0] for name in whole}))


def check_files(folder: str | Path) -> None:
    """Check that a folder holds the two files of an adapter.

    Raises:
        ArtifactError: One is missing, or the tensors are pickled as PEFT once saved them.
    """
    found = {name: (Path(folder) / name).is_file() for name in (CONFIG_NAME, WEIGHTS_NAME)}
    if not found[WEIGHTS_NAME] and (Path(folder) / _PICKLED_NAME).is_file():
        raise ArtifactError(
            f"{folder} holds its tensors as {_PICKLED_NAME}, a pickle, which is not read: load it "
            f"with peft.PeftModel.from_pretrained and save_pretrained it again, as {WEIGHTS_NAME}."
        )
    for name, is_there in found.items():
        if not is_there:
            raise ArtifactError(f"{folder} holds no adapter: there is no {name} in it.")


def read_adapter(folder: str | Path) -> SavedAdapter:
    """Read a LoRA adapter that PEFT saved.

    Raises:
        ArtifactError: A file is missing, or the adapter is none of LoRA's.
    """
    check_files(folder)
    config = json.loads((Path(folder) / CONFIG_NAME).read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA":
        raise ArtifactError(
            f"{folder} holds an adapter of type {config.get('peft_type')}, and only LoRA's can be "
            "exported: convert it with peft.convert_to_lora."
        )
    return SavedAdapter(config, load_file(Path(folder) / WEIGHTS_NAME))


def check_form(adapter: SavedAdapter, folder: str | Path, *, doing: str, instead: str) -> None:
    """Check that an adapter is the factors of Linear layers, and nothing that depends on the rank.

    Args:
        adapter: As it was read.
        folder: Where it was read, for messages.
        doing: What is to be done to the factors: padded, cut.
        instead: What to do if that is impossible, as an imperative without its full stop.

    Raises:
        RankError: It is another form of LoRA.
    """
    if adapter.init_beyond_it is not None:
        raise RankError(
            f"The adapter in {folder} has init_lora_weights={adapter.init_beyond_it!r}. PEFT then "
            f"changes the base weights on loading, by the rank, so it cannot be {doing}. "
            f"{instead}, or save it with path_initial_model_for_weight_conversion first."
        )
    for name in _OTHER_FORMS:
        if adapter.config.get(name):
            raise RankError(
                f"The adapter in {folder} has {name}={adapter.config[name]!r}, a form of LoRA that "
                f"cannot be {doing}. {instead}."
            )
    for name, tensor in adapter.tensors.items():
        is_factor = name.endswith((A_SUFFIX, B_SUFFIX)) and tensor.ndim == 2
        if ".lora_" in name and not is_factor and not name.endswith(_FREE_OF_RANK):
            raise RankError(
                f"{name} in {folder} has the shape {tuple(tensor.shape)}, and only the matrices of "
                f"Linear layers can be {doing}. {instead}."
            )


def write_adapter(adapter: SavedAdapter, folder: Path) -> None:
    """Write an adapter's two files as PEFT writes them."""
    write_text(folder / CONFIG_NAME, canonical_json(adapter.config))
    save_file(dict(adapter.tensors), folder / WEIGHTS_NAME, metadata={"format": "pt"})


def verify_same_update(folder: str | Path, other: str | Path) -> None:
    """Check that two saved adapters add the same to every module, and save the same beside it.

    Everything is computed from the files. Float32 rounding of two products of different rank is
    allowed for, and nothing more.

    Raises:
        RankError: They differ; the message names the first module and by how much.
    """
    first, second = read_adapter(folder), read_adapter(other)
    ours, theirs = first.factors(), second.factors()
    if ours.keys() != theirs.keys():
        odd = min(ours.keys() ^ theirs.keys())
        raise RankError(f"Only one of {folder} and {other} adapts {odd}.")
    for name, factors in ours.items():
        update = factors.update()
        difference = (theirs[name].update() - update).abs().max().item()
        if not difference <= 1e-5 * update.abs().max().item():
            raise RankError(
                f"The updates of {name} in {folder} and {other} differ by {difference:g}."
            )
    factor_names = (A_SUFFIX, B_SUFFIX)
    for name in first.tensors.keys() | second.tensors.keys():
        if name.endswith(factor_names):
            continue
        pair = first.tensors.get(name), second.tensors.get(name)
        if pair[0] is None or pair[1] is None or not torch.equal(pair[0], pair[1]):
            raise RankError(f"{name} is not the same in {folder} and {other}.")
