"""`TheoryRecord`: what the theorem's terms measured on one model and its texts, as `theory.json`.

Kept are spectra; what follows from them and the profile (`theorem.py`) is not written twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from gelora.artifacts import THEORY_FILE, Artifact
from gelora.lab.theory.spectra import Spectrum

JacobianOf = Literal["input", "parameters"]
"""What a block's pooled output is differentiated by: its pooled input, or its adapted weights."""

FisherOf = Literal["weights", "lora"]
"""Whose Fisher information: that of the weights to adapt, or of their LoRA factors."""

Stage = Literal["before", "after"]
"""Before training, or with the trained adapter."""


@dataclass(frozen=True)
class BlockJacobian:
    """One Jacobian of a block, at several samples.

    Attributes:
        block: The block's path from the backbone's root.
        by: What its pooled output is differentiated by.
        spectra: One per sample.
    """

    block: str
    by: JacobianOf
    spectra: tuple[Spectrum, ...]


@dataclass(frozen=True)
class BlockFisher:
    """The empirical Fisher information of one block's parameters.

    Attributes:
        block: The block's path from the backbone's root.
        of: Whose it is.
        stage: Before or after training.
        num_samples: Samples whose gradients it is the mean outer product of.
        num_parameters: Its size, were it ever formed.
        spectrum: Of the matrix itself: its eigenvalues.
    """

    block: str
    of: FisherOf
    stage: Stage
    num_samples: int
    num_parameters: int
    spectrum: Spectrum


@dataclass(frozen=True)
class ModuleUpdate:
    """What training made of one module's rank.

    Attributes:
        module: Its path from the backbone's root.
        block: Its block's path.
        rank: As given to it in the adapter.
        spectrum: Of the update: scale * B A.
    """

    module: str
    block: str
    rank: int
    spectrum: Spectrum


@dataclass(frozen=True)
class TheoryRecord(Artifact):
    """All that `gelora verify` measured.

    Attributes:
        tolerance: Share of the largest singular value above which one counts.
        seed: Chose the samples and the probes.
        jacobians: Two per block, in the order of the blocks.
        fishers: One or more per block; empty where the data have no labels.
        updates: One per adapted module of the trained adapter; empty without one.
        fingerprint: Tells the model, as in the profile.
        profile_hash: `content_hash` of the profile with the dimensions to compare with.
        adapter_sha256: Of the trained adapter's weights file, or None without one.
        seconds: Wall time of each part, by its name: "jacobians", "fisher", "updates".
    """

    FILE: ClassVar[str] = THEORY_FILE
    KIND: ClassVar[str] = "theory"

    tolerance: float
    seed: int
    jacobians: tuple[BlockJacobian, ...]
    fishers: tuple[BlockFisher, ...]
    updates: tuple[ModuleUpdate, ...]
    fingerprint: Mapping[str, Any]
    profile_hash: str
    adapter_sha256: str | None
    seconds: Mapping[str, float]
