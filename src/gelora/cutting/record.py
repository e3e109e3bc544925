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
        values: Value of each direction, in descending order. The kept ones come first.
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
class AdapterCut(Artifact):
    """An adapter's ranks before and after a cut, and what the cut cost.

    Attributes:
        settings: How directions were valued, and what decided how many stay.
        modules: Every module of the adapter before, by its path.
        parameters_before: Parameters of the factors before.
        parameters: Parameters of the factors after.
        kept: Share of the directions' value that was kept, between 0 and 1.
        curve: Validation losses by size, in ascending order of the parameters; the uncut adapter's
            is the last. Empty if there was no validation data.
        num_rows: Rows of validation data.
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
