"""How servers read an adapter's two files, each in a few lines: what they add to every module.

Written from what vLLM 0.31 and 0.33, SGLang 0.5.23, llama.cpp (as in llama-cpp-python 0.3.36) and
LoRAX do, not from their code. Each returns the update of every module, (out, in), or fails where
the server does. Nothing here knows PEFT.
"""

import json
import math
import re
from pathlib import Path

import torch
from safetensors.torch import load_file

PREFIX = "base_model.model."
VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
VLLM_INITS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")


class ServerError(Exception):
    """The server would not load the adapter."""


def read(folder: Path):
    """Return the settings, A and B of every module, and the names of all other tensors."""
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    names = [name.removesuffix(".lora_A.weight") for name in tensors if ".lora_A." in name]
    pairs = {
        name.removeprefix(PREFIX): (
            tensors.pop(f"{name}.lora_A.weight"),
            tensors.pop(f"{name}.lora_B.weight"),
        )
        for name in names
    }
    return config, pairs, sorted(tensors)


def old_vllm(folder, *, max_lora_rank=None):
    """Copy into zeroed buffers of the server's rank; one scale, patterns unread."""
    config, pairs, _ = read(folder)
    _vllm_features(config)
    limit = _vllm_limit(config["r"], max_lora_rank)
    scale = _scale(config, config["r"], config["lora_alpha"])
    return {name: scale * _vllm_buffers(a, b, limit) for name, (a, b) in pairs.items()}


def new_vllm(folder, *, max_lora_rank=None):
    """As before, with PEFT's patterns: the first key that matches the end of a path wins."""
    config, pairs, _ = read(folder)
    _vllm_features(config)
    init = config["init_lora_weights"]
    if config["lora_bias"] or (isinstance(init, str) and init.lower() not in VLLM_INITS):
        raise ServerError("lora_bias or init_lora_weights")
    largest = max([config["r"], *config["rank_pattern"].values()])
    limit = _vllm_limit(largest, max_lora_rank)

    def matched(pattern, name, default):
        found = (v for key, v in pattern.items() if re.match(rf"(.*\.)?({key})$", name))
        return next(found, default)

    updates = {}
    for name, (a, b) in pairs.items():
        rank = matched(config["rank_pattern"], name, config["r"])
        alpha = matched(config["alpha_pattern"], name, config["lora_alpha"])
        updates[name] = _scale(config, rank, alpha) * _vllm_buffers(a, b, limit)
    return updates


def sglang(folder):
    """Slice buffers by the config's rank, query, key and value in one; one scale, no rsLoRA."""
    config, pairs, _ = read(folder)
    if config["use_dora"]:
        raise ServerError("use_dora")
    rank = config["r"]
    scale = config["lora_alpha"] / rank
    updates = {}
    for name, (a, b) in pairs.items():
        parent, _, own = name.rpartition(".")
        stacked = ["q_proj", "k_proj", "v_proj"] if own in ("q_proj", "k_proj", "v_proj") else [own]
        together = torch.cat([pairs[f"{parent}.{one}"][0] for one in stacked])
        _slice_into(together, (rank * len(stacked), a.shape[1]))
        _slice_into(b, (b.shape[0], rank))
        start = rank * stacked.index(own)
        updates[name] = scale * b @ together[start : start + rank]
    return updates


def llama_cpp(folder):
    """Divide the one alpha by the rank that the tensor has; nothing but A and B is taken."""
    config, pairs, others = read(folder)
    if others:
        raise ServerError(others[0])
    return {name: config["lora_alpha"] / len(a) * b @ a for name, (a, b) in pairs.items()}


def lorax(folder):
    """Stack the layers of a type, padded to 8 or a multiple of 16, by which the next is scaled."""
    config, pairs, _ = read(folder)
    rank = config["r"]
    updates = {}
    for kind in dict.fromkeys(name.rpartition(".")[2] for name in pairs):
        names = [name for name in pairs if name.endswith(f".{kind}")]
        scale = _scale(config, rank, config["lora_alpha"])
        a = torch.stack([_pad_rows(pairs[name][0]) for name in names])
        b = torch.stack([_pad_rows(scale * pairs[name][1].T) for name in names])
        updates |= {name: b[i].T @ a[i] for i, name in enumerate(names)}
        rank = a.shape[1]
    return updates


def _scale(config, rank, alpha):
    return alpha / (math.sqrt(rank) if config["use_rslora"] else rank)


def _vllm_features(config):
    others = set(config["modules_to_save"] or ()) - {"classifier", "score"}
    if others or config["use_dora"] or config["bias"] != "none":
        raise ServerError(str(sorted(others) or "use_dora"))


def _vllm_limit(rank, max_lora_rank):
    limit = max_lora_rank or next(one for one in VLLM_RANKS if one >= rank)
    if rank > limit:
        raise ServerError(f"LoRA rank {rank} is greater than max_lora_rank {limit}")
    return limit


def _vllm_buffers(a, b, limit):
    buffer_a, buffer_b = torch.zeros(limit, a.shape[1]), torch.zeros(b.shape[0], limit)
    buffer_a[: len(a)].copy_(a)
    buffer_b[:, : b.shape[1]].copy_(b)
    return buffer_b @ buffer_a


def _slice_into(weight, shape):
    if tuple(weight.shape) != shape:
        raise ServerError(f"LoRA buffer shape {shape} does not match {tuple(weight.shape)}")


def _pad_rows(matrix):
    rank = len(matrix)
    padded = 8 if rank <= 8 else 16 * math.ceil(rank / 16)
    return torch.cat([matrix, torch.zeros(padded - rank, matrix.shape[1])])
