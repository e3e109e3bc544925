"""Where models run."""

import torch

from gelora.dimension.proposals import cpu_multiplies_bfloat16


def default_device() -> torch.device:
    """Return the accelerator, or the CPU if there is none."""
    # A torch that is built for CUDA names CUDA on machines without a GPU, too: check first.
    if not torch.accelerator.is_available():
        return torch.device("cpu")
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def device_name(device: torch.device) -> str:
    """Return a device for people: the name of the GPU, or its kind, such as cpu."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def computes_fast_in(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether a device multiplies numbers of a format by itself.

    A CPU without instructions for bfloat16 takes some 40 times as long as in float32. For float16
    PyTorch has no fast path on most CPUs, and none to train by.
    """
    if device.type != "cpu" or dtype not in (torch.bfloat16, torch.float16):
        return True
    return dtype == torch.bfloat16 and cpu_multiplies_bfloat16()
