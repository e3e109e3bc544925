"""Where models run."""

import torch


def default_device() -> torch.device:
    """Return the accelerator, or the CPU if there is none."""
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def device_name(device: torch.device) -> str:
    """Return a device for people: the name of the GPU, or its kind, such as cpu."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
