"""What a cut did: cut.json, beside the adapter that it left."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from gelora.artifacts import CUT_FILE, Artifact
from gelora.errors import ArtifactError
from gelora.settings import CutSettings, Natural


@dataclass(frozen=True)
class ModuleCut:
    """One module before and after.

    Attributes:
        in_features: Of the module.
        out_features: Of the module.
        rank_before: Rank of its factors before the cut.
        rank: Rank that was kept; 0 where the module left the adapter.
        values: Value of each direction, in descending order, so those that were kept come first.
    """

    in_features: Natural
    out_features: Natural
    rank_before: Natural
    rank: Natural
    values: tuple[float, ...]

    @property
    def cost(self) -> int:
        """Parameters of one direction."""
        return self.in_features + self.out_features


@dataclass(frozen=True)
class CutPoint:
    """The validation loss of an adapter of one size.

    Attributes:
        parameters: Parameters of its factors.
        loss: Mean over the rows.
        difference: Mean over the rows of its loss less the uncut adapter's.
        standard_error: Of the difference, over the rows.
    """

    parameters: Natural
    loss: float
    difference: float
    standard_error: float


@dataclass(frozen=True)
class BlockCut:
    """One block before and after.

    Attributes:
        block: Path of the block.
        bound: The lower bound that geometry gave before training; None where there is none.
        rank_before: Largest rank of its modules before the cut.
        ranks: Rank of each of its modules after the cut.
        parameters: Parameters of its factors after the cut.
    """

    block: str
    bound: int | None
    rank_before: int
    ranks: tuple[int, ...]
    parameters: int

    @property
    def rank(self) -> int:
        """Largest rank of its modules after the cut."""
        return max(self.ranks, default=0)


@dataclass(frozen=True)
class AdapterCut(Artifact):
    """An adapter's ranks before and after a cut, and what the cut cost.

    Attributes:
        settings: How directions were valued, and what decided how many stay.
        modules: Every module of the adapter before, by its path.
        parameters_before: Parameters of the factors before.
        parameters: Parameters of the factors after.
        kept: Share of the directions' value that was kept, between 0 and 1.
        curve: Validation losses by size, in ascending order of the parameters: from the model
            without the adapter's factors to the uncut adapter. Empty without validation data.
        num_rows: Rows of validation data.
        finish_steps: Optimizer steps of training after the cut.
        finished: The validation loss after these steps, if there were any and it was measured.
        blocks: Path of every block of the model; empty where it is not known.
        bounds: For each block, the lower bound max(d(i) - d(i-1), 0) of the plan that the adapter
            was trained by; empty where there is none.
    """

    FILE: ClassVar[str] = CUT_FILE
    KIND: ClassVar[str] = "adapter_cut"

    settings: CutSettings
    modules: Mapping[str, ModuleCut]
    parameters_before: Natural
    parameters: Natural
    kept: float
    curve: tuple[CutPoint, ...] = ()
    num_rows: Natural = 0
    finish_steps: Natural = 0
    finished: CutPoint | None = None
    blocks: tuple[str, ...] = ()
    bounds: tuple[Natural, ...] = ()

    @property
    def ranks(self) -> dict[str, int]:
        """The rank of every module that stayed."""
        return {name: module.rank for name, module in self.modules.items() if module.rank}

    @property
    def point(self) -> CutPoint | None:
        """The validation loss of the adapter that was kept, if it was measured."""
        return next((p for p in self.curve if p.parameters == self.parameters), None)

    @property
    def without(self) -> CutPoint | None:
        """The validation loss without any direction, if it was measured."""
        return next((p for p in self.curve if p.parameters == 0), None)

    def by_block(self) -> list["BlockCut"]:
        """Return what became of every block, in order; modules outside of blocks are left out."""
        bounds = self.bounds or (None,) * len(self.blocks)
        blocks: list[BlockCut] = []
        for block, bound in zip(self.blocks, bounds, strict=True):
            modules = [m for name, m in self.modules.items() if name.startswith(f"{block}.")]
            blocks.append(
                BlockCut(
                    block=block,
                    bound=bound,
                    rank_before=max((module.rank_before for module in modules), default=0),
                    ranks=tuple(module.rank for module in modules),
                    parameters=sum(module.cost * module.rank for module in modules),
                )
            )
        return blocks

    def check(self) -> None:
        """Check that the parameters are those of the ranks.

        Raises:
            ArtifactError: They are not.
        """
        counted = sum(module.cost * module.rank for module in self.modules.values())
        if counted != self.parameters or len(self.bounds) not in (0, len(self.blocks)):
            raise ArtifactError(
                f"The file of a cut names {self.parameters:,} parameters, and its ranks have "
                f"{counted:,}: it was edited; cut again."
            )
