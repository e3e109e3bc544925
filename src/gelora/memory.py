"""How much memory was needed: of the GPU where there is one, else of this process."""

import sys

import torch


def peak_memory_bytes(device: torch.device) -> int | None:
    """Return the most memory that was in use, in bytes.

    Args:
        device: A CUDA device: what torch took of it since its statistics were last reset. Any
            other: what the process had resident since it began, whatever it did, with the pages
            of mapped files that the system happened to hold for it.

    Returns:
        The peak, or None where the system does not tell (Windows).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # Linux counts kilobytes
