"""Where a model's blocks are, what each module in them does, and which model it is.

Blocks are found from the tree of modules, not from a list of model classes: they are the outermost
`nn.ModuleList` whose children hold attention. Paths are relative to the backbone, the model
without its head, and are the same with and without adapters. Nothing here runs the model.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from gelora.artifacts import content_hash
from gelora.dimension.profile import BlockModule, LeftOut, Role
from gelora.errors import ArchitectureError, ModelMismatchError
from gelora.hidden_states.module_tree import (
    Projection,
    excluded_modules,
    has_attention,
    left_out_weights,
    outermost_lists,
    projections,
    weight_of,
    without_wrapper,
)
from gelora.ranks.targets import select_modules, target_names

logger = logging.getLogger(__name__)

# What the last part of a module's path means inside attention; "mlp" is whatever is left.
ROLE_NAMES: Mapping[Role, frozenset[str]] = {
    "query": frozenset({"query", "query_proj", "q_proj", "q_lin", "q_attn", "q"}),
    "key": frozenset({"key", "key_proj", "k_proj", "k_lin", "k"}),
    "value": frozenset({"value", "value_proj", "v_proj", "v_lin", "v"}),
    "query_key_value": frozenset(
        {"query_key_value", "qkv_proj", "in_proj", "c_attn", "Wqkv", "qkv"}
    ),
    "output": frozenset({"dense", "o_proj", "out_proj", "c_proj", "proj", "out_lin", "Wo", "o"}),
}

NUM_WEIGHTS = 32
# New tokens are added at the end of a vocabulary, and must not shift the entries sampled.
NUM_ROWS = 1000
# bfloat16 keeps 8 significant bits: rounding moves a weight by up to 2^-8 of itself.
WEIGHT_RTOL = 2.0**-7
WEIGHT_ATOL = 1e-6


@dataclass(frozen=True)
class Stack:
    """Blocks that run one after the other.

    Attributes:
        name: "encoder" or "decoder" where the model has both, else "".
        blocks: Path of every block from the backbone's root, in order.
    """

    name: str
    blocks: tuple[str, ...]


@dataclass(frozen=True)
class Architecture:
    """The blocks of a model and the modules in them.

    Attributes:
        prefix: Path of the backbone inside the model given, with its dot ("bert."), or "".
        stacks: One, or an encoder's and a decoder's.
        modules: Every Linear and Conv1D of every block that has weights of its own, in the
            model's order.
        left_out: Weights of the blocks that are in none of these.
        is_causal: Whether a token sees only those before it, so that the last has seen all.
    """

    prefix: str
    stacks: tuple[Stack, ...]
    modules: tuple[BlockModule, ...]
    is_causal: bool
    left_out: tuple[LeftOut, ...] = field(default=(), compare=False)  # adapters add to it

    @property
    def blocks(self) -> tuple[str, ...]:
        """Path of every block of every stack."""
        return tuple(block for stack in self.stacks for block in stack.blocks)


def find_backbone(model: nn.Module) -> nn.Module:
    """Return the model without its head, and without PEFT's wrapper; adapters stay in place."""
    bare = without_wrapper(model)
    return bare.base_model if isinstance(bare, PreTrainedModel) else bare


def find_architecture(model: nn.Module) -> Architecture:
    """Find the blocks of a model and the role of each module in them.

    Args:
        model: With or without a head, adapters, quantised weights or hooks that place it.

    Raises:
        ArchitectureError: There are no blocks, or several lists of blocks that are not an
            encoder and a decoder.
    """
    backbone = find_backbone(model)
    stacks = _find_stacks(backbone)
    blocks = [block for stack in stacks for block in stack.blocks]
    modules = tuple(
        module
        for index, block in enumerate(blocks)
        for module in _block_modules(backbone.get_submodule(block), block, index)
    )
    excluded = excluded_modules(backbone, modules)
    modules = tuple(module for module in modules if module.name not in excluded)
    return Architecture(
        prefix=_path_of(backbone, inside=without_wrapper(model)),
        stacks=stacks,
        modules=modules,
        is_causal=_is_causal(backbone, blocks),
        left_out=left_out_weights(backbone, blocks, modules, excluded=excluded),
    )


def adapted_modules(
    architecture: Architecture, target_modules: str | Sequence[str]
) -> tuple[BlockModule, ...]:
    """Return the modules of a model that get an adapter.

    Args:
        architecture: Blocks and modules of the model.
        target_modules: As for `select_modules`.

    Raises:
        ArchitectureError: The target is "attention", and no block has modules that mix tokens.
        RankError: As `select_modules`.
    """
    if target_names(target_modules) == ["attention"]:
        require_attention(architecture)
    return select_modules(architecture.modules, target_modules, left_out=architecture.left_out)


def require_attention(architecture: Architecture) -> None:
    """Check that some block has modules that mix tokens.

    A block without any, such as one that is an MLP alone, gets no adapter where attention is
    adapted, and the log says so.

    Raises:
        ArchitectureError: None has; the message lists the modules of the first block and what to
            adapt instead.
    """
    mixing = {module.block for module in architecture.modules if module.role != "mlp"}
    without = [path for i, path in enumerate(architecture.blocks) if i not in mixing]
    if not mixing:
        inside = [module.name for module in architecture.modules if module.block == 0]
        seen = ", ".join(name.removeprefix(f"{architecture.blocks[0]}.") for name in inside)
        raise ArchitectureError(
            f"No module of the blocks is known to mix tokens; {architecture.blocks[0]} has "
            f"{seen or 'no Linear of its own'}: adapt 'all-linear', or name modules as "
            "target_modules."
        )
    if without:
        logger.info(
            "%d of %d blocks, the first %s, have no module that mixes tokens and get no adapter "
            "unless all-linear is adapted.",
            len(without),
            len(architecture.blocks),
            without[0],
        )


def model_fingerprint(model: nn.Module) -> dict[str, Any]:
    """Return what tells a model from another: its type, its blocks, a sample of its weights.

    Adapters, a head, quantised blocks and the dtype do not change it (the last but for rounding).

    Returns:
        `model_type`; `num_blocks`; `architecture`, a SHA-256 of the paths and shapes of all
        modules in the blocks; `embedding_weights` and `block_weights`, 32 evenly spaced entries
        of the input embedding's first 1,000 rows and of the last block's last module, or None
        where they cannot be read (on the meta device, quantised).

    Raises:
        ArchitectureError: The model has no blocks.
    """
    backbone = find_backbone(model)
    architecture = find_architecture(backbone)
    shapes = [
        [module.name, module.in_features, module.out_features] for module in architecture.modules
    ]
    config = backbone.config if isinstance(backbone, PreTrainedModel) else None
    return {
        "model_type": config.model_type if config else type(backbone).__name__,
        "num_blocks": len(architecture.blocks),
        "architecture": content_hash({"blocks": architecture.blocks, "modules": shapes}),
        "embedding_weights": _sample(input_embedding(backbone)[:NUM_ROWS]),
        "block_weights": _sample(_last_weight(backbone, architecture)),
    }


def check_fingerprint(model: nn.Module, expected: Mapping[str, Any]) -> None:
    """Check that a profile or plan belongs to a model.

    Args:
        model: The model at hand.
        expected: The fingerprint that the file carries. Its weights are compared to bfloat16's
            precision, so the dtype is free.

    Raises:
        ModelMismatchError: It is another model.
    """
    actual = model_fingerprint(model)
    if any(actual[key] != expected.get(key) for key in ("model_type", "architecture")):
        theirs, ours = _describe(expected), _describe(actual)
        raise ModelMismatchError(
            f"The profile or plan was made for a {theirs}, and this is a {ours}"
            f"{' with other modules or shapes' if theirs == ours else ''}: measure this model."
        )
    for name, where in (("embedding_weights", "input embedding"), ("block_weights", "last block")):
        pairs = zip(expected.get(name) or (), actual[name] or (), strict=False)
        for index, (theirs, ours) in enumerate(pairs):
            if abs(theirs - ours) > WEIGHT_RTOL * max(abs(theirs), abs(ours)) + WEIGHT_ATOL:
                raise ModelMismatchError(
                    f"The profile or plan was made for a {_describe(expected)} with other weights: "
                    f"sample {index} of its {where} was {theirs:g} and is {ours:g} here; "
                    "measure this model."
                )


def input_embedding(backbone: nn.Module) -> nn.Parameter:
    """Return the matrix that tokens are looked up in, or the first weights that inputs reach."""
    embeddings = backbone
    if isinstance(backbone, PreTrainedModel):
        with suppress(NotImplementedError):  # models of audio name no embeddings
            embeddings = backbone.get_input_embeddings()
    return next(embeddings.parameters())  # an adapter's own parameters come after its base's


def _block_modules(module: nn.Module, block: str, index: int) -> list[BlockModule]:
    """Return the projections of a block with their roles.

    Attention of the usual form is known by the names of query, key, value and output. In a block
    that has not all four, whatever else lies in attention or in another mixer of tokens is adapted
    with it, but for routers.
    """
    parts = list(projections(module))
    roles: list[Role] = [_role(projection) for projection in parts]
    usual = {"query", "key", "value"} if "query_key_value" not in roles else {"query_key_value"}
    if not {*usual, "output"} <= set(roles):
        roles = [
            "mixer" if role == "mlp" and _mixes(projection) else role
            for role, projection in zip(roles, parts, strict=True)
        ]
    return [
        BlockModule(
            name=f"{block}.{projection.path}",
            block=index,
            role=role,
            in_features=projection.in_features,
            out_features=projection.out_features,
        )
        for role, projection in zip(roles, parts, strict=True)
    ]


def _mixes(projection: Projection) -> bool:
    inside = projection.inside_attention or projection.inside_mixer
    return inside and "router" not in projection.path


def _role(projection: Projection) -> Role:
    name = projection.path.rsplit(".", 1)[-1]
    if projection.inside_attention:
        for role, names in ROLE_NAMES.items():
            if name in names:
                return role
    return "mlp"


def _find_stacks(backbone: nn.Module) -> tuple[Stack, ...]:
    lists = list(outermost_lists(backbone))
    # Lists without attention (projections of features, experts' parts) are no blocks, unless the
    # model has no other: then it mixes tokens by other means.
    lists = [(path, blocks) for path, blocks in lists if has_attention(blocks)] or lists
    if len(lists) > 1:
        lists = _beside_embeddings(backbone, lists)
    names = [""]
    if len(lists) == 2 and isinstance(backbone, PreTrainedModel):
        names = ["encoder", "decoder"] if backbone.config.is_encoder_decoder else names
        lists.sort(key=lambda named: "decoder" in named[0])
    if len(lists) != len(names):
        raise ArchitectureError(_no_single_stack(backbone, [path for path, _ in lists]))
    return tuple(
        Stack(name, tuple(f"{path}.{index}" for index in range(len(blocks))))
        for name, (path, blocks) in zip(names, lists, strict=True)
    )


def _beside_embeddings(
    backbone: nn.Module, lists: list[tuple[str, nn.ModuleList]]
) -> list[tuple[str, nn.ModuleList]]:
    """Return the lists of the part that texts go into: those nearest the embeddings of tokens.

    So the towers of a multimodal model that read images or sound are left out.
    """
    if not isinstance(backbone, PreTrainedModel) or backbone.config.is_encoder_decoder:
        return lists
    try:
        embeddings = backbone.get_input_embeddings()
    except NotImplementedError:
        return lists
    path = _path_of(embeddings, inside=backbone).removesuffix(".")
    while path:
        path = path.rpartition(".")[0]
        near = [named for named in lists if named[0].startswith(f"{path}.")]
        if path and near:
            return near
    return lists


def _no_single_stack(backbone: nn.Module, paths: list[str]) -> str:
    kind = type(backbone).__name__
    if paths:
        return (
            f"{kind} has {len(paths)} lists of blocks that are not an encoder and a decoder "
            f"({', '.join(paths)}), and which of them reads the texts is unknown: in Python, pass "
            "that part of the model."
        )
    seen = [
        f"{path} ({len(module)} of {type(module[0]).__name__})"
        for path, module in backbone.named_modules()
        if isinstance(module, nn.ModuleList) and len(module)
    ]
    return (
        f"No blocks were found in {kind}: they are sought in an nn.ModuleList whose children hold "
        f"Linear or Conv1D modules, and its lists are: {', '.join(seen) or 'none'}."
    )


def _path_of(module: nn.Module, *, inside: nn.Module) -> str:
    path = next(path for path, child in inside.named_modules() if child is module)
    return f"{path}." if path else ""


def _is_causal(backbone: nn.Module, blocks: list[str]) -> bool:
    if not isinstance(backbone, PreTrainedModel) or backbone.config.is_encoder_decoder:
        return False
    modules = [module for block in blocks for module in backbone.get_submodule(block).modules()]
    flags = [vars(module)["is_causal"] for module in modules if "is_causal" in vars(module)]
    if flags:
        return any(flags)
    # A few older models (BLOOM, MPT, CodeGen) do not say it in their attention.
    kind = backbone.config.model_type
    return (
        kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )


def _last_weight(backbone: nn.Module, architecture: Architecture) -> Tensor | None:
    """Return the weight of the last block's last module, if it has a plain one."""
    return weight_of(backbone, architecture.modules[-1].name) if architecture.modules else None


def _sample(weight: Tensor | None) -> list[float] | None:
    if weight is None or weight.is_meta or not weight.is_floating_point():
        return None
    flat = weight.detach().flatten()
    indices = torch.arange(NUM_WEIGHTS, device=flat.device) * flat.numel() // NUM_WEIGHTS
    return flat[indices].float().tolist()


def _describe(fingerprint: Mapping[str, Any]) -> str:
    blocks = fingerprint.get("num_blocks")
    return f"{fingerprint.get('model_type')} model" + (f" of {blocks} blocks" if blocks else "")
