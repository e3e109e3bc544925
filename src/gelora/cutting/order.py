"""Which directions stay: those of all modules compete by their value per parameter."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from gelora.cutting.directions import Directions
from gelora.errors import RankError
from gelora.exports.saved import Factors
from gelora.settings import read_mean_budget


def budget_parameters(budget: int | str, factors: Mapping[str, Factors]) -> int:
    """Return the parameters that a budget allows an adapter.

    Args:
        budget: A number, or "r=2" for the parameters of rank 2 in every module.
        factors: Of every module of the adapter.

    Raises:
        RankError: The adapter has no more parameters as it is.
    """
    number, is_rank = read_mean_budget(budget)
    of_rank_one = sum(part.cost for part in factors.values())
    parameters = int(number * of_rank_one) if is_rank else int(number)
    whole = sum(part.cost * len(part.a) for part in factors.values())
    if parameters >= whole:
        raise RankError(
            f"The adapter has {whole:,} parameters, and the budget {budget} is {parameters:,}: "
            f"there is nothing to cut. Give a budget below r={whole / of_rank_one:g}."
        )
    return parameters


@dataclass(frozen=True)
class CutOrder:
    """The directions of all modules, from the first to keep to the first to drop.

    Directions come in the order of their value per parameter. So the first ones keep more value
    than any other choice with as many parameters.

    Attributes:
        modules: The modules' names.
        owners: Index of the module of each direction.
        parameters: Parameters of all directions up to this one.
        kept: Share of the whole value in all directions up to this one, between 0 and 1.
    """

    modules: tuple[str, ...]
    owners: Int[np.ndarray, " directions"]
    parameters: Int[np.ndarray, " directions"]
    kept: Float[np.ndarray, " directions"]

    def __len__(self) -> int:
        return len(self.owners)

    def ranks(self, count: int) -> dict[str, int]:
        """Return the rank of every module where the first directions are kept."""
        ranks = np.bincount(self.owners[:count], minlength=len(self.modules))
        return dict(zip(self.modules, ranks.tolist(), strict=True))

    def within_budget(self, parameters: int) -> int:
        """Return how many directions a number of parameters pays for.

        Raises:
            RankError: It pays for none.
        """
        count = int(np.searchsorted(self.parameters, parameters, side="right"))
        if count == 0:
            raise RankError(
                f"A budget of {parameters:,} parameters is below the {self.parameters[0]:,} of the "
                "most valuable direction: raise the budget."
            )
        return count

    def with_energy(self, share: float) -> int:
        """Return the smallest number of directions that hold a share of the value."""
        return int(np.searchsorted(self.kept, share * (1 - 1e-12))) + 1


def order_of(factors: Mapping[str, Factors], directions: Mapping[str, Directions]) -> CutOrder:
    """Return the order in which the directions of an adapter's modules are kept.

    Raises:
        RankError: As `order_directions`.
    """
    return order_directions(
        {name: part.values for name, part in directions.items()},
        {name: part.cost for name, part in factors.items()},
    )


def order_directions(
    values: Mapping[str, Float[np.ndarray, " directions"]], costs: Mapping[str, int]
) -> CutOrder:
    """Return the order in which directions are kept.

    Args:
        values: For every module, the value of each of its directions, in descending order.
        costs: For every module, the parameters of one direction: its input plus output features.

    Raises:
        RankError: There is no direction at all.
    """
    modules = tuple(sorted(values))
    owners = np.repeat(np.arange(len(modules)), [len(values[name]) for name in modules])
    worth = np.concatenate([values[name] for name in modules])
    price = np.array([costs[name] for name in modules])[owners]
    if not len(worth) or not worth.sum() > 0:
        raise RankError(
            "The adapter changes nothing: the update of every module is zero, so there is nothing "
            "to cut. Train it first."
        )
    order = np.argsort(-worth / price, kind="stable")
    return CutOrder(
        modules=modules,
        owners=owners[order],
        parameters=np.cumsum(price[order]),
        kept=np.cumsum(worth[order]) / worth.sum(),
    )
