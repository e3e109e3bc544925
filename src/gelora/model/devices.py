"""Where models run."""

import torch


def default_device() -> torch.device:
    """Return the accelerator, or the CPU if there is none."""
    # Without the question, a torch that is built for CUDA names it on machines without a GPU, too.
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


def device_name(device: torch.device) -> str:
    """Return a device for people: the name of the GPU, or its kind, such as cpu."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
