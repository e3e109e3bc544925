"""The settings of measuring and of planning, each declared once.

A field is an argument of the Python function, a flag of the command line, a key of the YAML file,
and a value that the profile or the plan records. Its annotation is the only check of its value.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from numbers import Integral, Real
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from gelora.errors import ConfigError, RankError

MAX_SEED = 2**32 - 1
"""Largest seed that NumPy takes."""

MAX_PARAMETERS = 10**15
"""Largest budget, in parameters."""

Granularity = Literal["block", "sublayer"]
"""Where hidden states are read: after every block, or after both halves of each block."""

States = Literal["raw", "normalized"]
"""Hidden states as the block returns them, or after the norm that reads them next."""

Pooling = Literal["mean", "last", "first"]
"""How the states of a text's tokens become one vector."""

EstimatorName = Literal[
    "twonn_linfit", "twonn_mle", "gride_2", "gride_4", "gride_8", "levina_bickel"
]
"""Estimators of the intrinsic dimension; `gride_n` uses the 2n-th and the n-th neighbour."""

Rule = Literal["paper", "confident", "budget"]
"""How ranks follow from dimensions."""

Importance = Literal["weights", "inputs", "fisher"]
"""How a direction of an adapter's update is valued."""

Rounding = Literal["nearest", "up", "down"]
"""How dimensions become whole numbers."""

Count = Annotated[int, Meta(ge=1, description="a whole number, at least 1")]
Natural = Annotated[int, Meta(ge=0, description="a whole number, at least 0")]
Seed = Annotated[
    int, Meta(ge=0, le=MAX_SEED, description=f"a whole number between 0 and {MAX_SEED}")
]
Positive = Annotated[float, Meta(gt=0, description="a positive number")]
NonNegative = Annotated[float, Meta(ge=0, description="0 or a positive number")]
Share = Annotated[float, Meta(gt=0, le=1, description="above 0 and at most 1")]
DiscardFraction = Annotated[float, Meta(ge=0, le=0.9, description="between 0 and 0.9")]
"""With more left out, a line is fitted to next to nothing."""


class Settings:
    """Base of frozen dataclasses that check the values of their fields.

    Raises:
        ConfigError: A value is of the wrong type or out of its range.
    """

    def __post_init__(self) -> None:
        for name, kind in _kinds(type(self)).items():
            object.__setattr__(self, name, checked(name, getattr(self, name), kind))

    def updated(self, changes: Mapping[str, Any]) -> Self:
        """Return these settings with some changed.

        Raises:
            ConfigError: A name is not a setting, or a value is out of its range.
        """
        known = [field.name for field in fields(self)]  # type: ignore[arg-type]
        for name in changes:
            if name not in known:
                hint = f" It is now {RENAMED[name]}." if name in RENAMED else ""
                raise ConfigError(
                    f"There is no setting {name}.{hint} There are {', '.join(known)}."
                )
        return replace(self, **changes)  # type: ignore[type-var]


@dataclass(frozen=True)
class MeasurementSettings(Settings):
    """How dimensions are measured."""

    num_samples: Count = 4000
    """Texts that go through the model at most, chosen by the seed."""
    precision: Annotated[float, Meta(ge=0, description="0 or more dimensions")] | None = None
    """Measure in growing batches, and stop once every increment's standard error, in dimensions,
    is below this, or the ranks no longer change; 0 for all texts. None is 0, or 0.1 with `run`."""
    pooling: Pooling | None = None
    """How a text's token states become one vector; None is last for causal models, else mean."""
    states: States = "raw"
    """States as each block returns them, or after the norm that reads them next."""
    granularity: Granularity = "block"
    """One increment for each block, or one for its attention half and one for its MLP half."""
    estimator: EstimatorName = "twonn_linfit"
    """Whose dimensions the ranks follow: TwoNN by a linear fit or by maximum likelihood, Gride on
    the 2nd, 4th or 8th neighbours, or Levina and Bickel's likelihood of 20 neighbours."""
    all_estimators: bool = False
    """Put every estimator's dimensions into the profile."""
    discard_fraction: DiscardFraction = 0.1
    """Share of the largest distance ratios that the linear fit leaves out."""
    measure_batch_tokens: Count = 8192
    """Tokens in one forward pass, padding included."""


ESTIMATION = ("estimator", "all_estimators", "discard_fraction")
"""Settings of measuring that need no model: they can change where hidden states were kept."""


@dataclass(frozen=True)
class RankSettings(Settings):
    """What gets an adapter, and how ranks follow from dimensions."""

    target_modules: tuple[str, ...] = ("attention",)
    """attention, all-linear, or names of modules as PEFT takes them."""
    rank_rule: Rule | None = None
    """The paper's: growth of the dimension, rounded, plus one; confident: the smallest rank that
    suffices with probability 0.9; or spend a budget by growth. None is budget if one is given,
    else paper."""
    budget: int | str | None = None
    """Trainable parameters: a number, or r=8 for those of uniform LoRA of rank 8."""
    rounding: Rounding = "nearest"
    """How dimensions become whole numbers."""
    min_rank: Count = 1
    """Smallest rank of an adapted block."""
    max_rank: Count | None = None
    """Largest rank of a block."""
    scaling: Positive = 2.0
    """alpha/r, the same in every module."""
    lora_alpha: Positive | None = None
    """Alpha of the largest rank, instead of scaling."""

    def __post_init__(self) -> None:
        if self.budget is not None:
            number, is_rank = read_budget(self.budget)
            object.__setattr__(self, "budget", f"r={number}" if is_rank else number)
        super().__post_init__()
        if self.rule == "budget" and self.budget is None:
            raise ConfigError(
                "rank_rule 'budget' needs a budget: 'r=8', or a number of parameters."
            )
        if self.rule != "budget" and self.budget is not None:
            raise ConfigError(
                f"rank_rule {self.rule!r} spends no budget, and budget is {self.budget!r}: leave "
                "out one of the two."
            )
        if self.max_rank is not None and self.max_rank < self.min_rank:
            raise RankError(
                f"max_rank {self.max_rank} is below min_rank {self.min_rank}: raise max_rank."
            )

    @property
    def rule(self) -> Rule:
        """The rule that was named, or the one that goes with a budget or none."""
        return self.rank_rule or ("paper" if self.budget is None else "budget")


@dataclass(frozen=True)
class CutSettings(Settings):
    """How a trained adapter is cut. One of budget, energy and tolerance says how far."""

    budget: int | str | None = None
    """Parameters of the cut adapter: a number, or r=2 for those of rank 2 in every module it has;
    r=0.5 is half of r=1."""
    energy: Share | None = None
    """Share of the directions' whole value to keep, between 0 and 1."""
    tolerance: NonNegative | None = None
    """Largest rise of the validation loss; the smallest adapter within it is found."""
    importance: Importance = "weights"
    """How a direction is valued: by its weights alone, by what it changes in the module's output on
    your texts (inputs), or by what it changes in the loss (fisher)."""
    num_cut_samples: Count = 1000
    """Training rows that directions are valued on, chosen by the seed."""

    def __post_init__(self) -> None:
        if self.budget is not None:
            number, is_rank = read_mean_budget(self.budget)
            object.__setattr__(self, "budget", f"r={number:g}" if is_rank else int(number))
        super().__post_init__()
        if len(self.goals) > 1:
            raise ConfigError(
                f"{' and '.join(self.goals)} both say how far to cut: leave out all but one."
            )

    @property
    def goals(self) -> tuple[str, ...]:
        """Names of the settings that say how far to cut, of which there may be one."""
        names = ("budget", "energy", "tolerance")
        return tuple(name for name in names if getattr(self, name) is not None)


RENAMED: Mapping[str, str] = {
    "alpha_per_rank": "scaling",
    "batch_tokens": "measure_batch_tokens",
    "rule": "rank_rule",
}
"""Earlier names of settings."""

RENAMED_VALUES: Mapping[str, str] = {
    "twonn_line": "twonn_linfit",
    "twonn_likelihood": "twonn_mle",
    "knn_likelihood": "levina_bickel",
}
"""Earlier names of estimators."""


def checked(name: str, value: Any, kind: Any, *, strict: bool = True) -> Any:
    """Return the value of an argument as its annotation has it.

    Args:
        name: The argument.
        value: Its value. NumPy numbers are accepted, and a list or one text for a tuple.
        kind: The annotation, such as `Count`.
        strict: Whether a text is no number and no truth value.

    Raises:
        ConfigError: The value does not fit.
    """
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    plain = _plain(value)
    if isinstance(plain, float) and not math.isfinite(plain):
        plain = str(plain)  # which no number's annotation takes
    if any(get_origin(one) is tuple for one in kinds):
        plain = (plain,) if isinstance(plain, str) else plain
    try:
        return msgspec.convert(plain, kind, strict=strict)
    except msgspec.ValidationError as error:
        expected = " or ".join(filter(None, map(_description, kinds)))
        hint = RENAMED_VALUES.get(value, "") if isinstance(value, str) else ""
        hint = f" It is now {hint!r}." if hint else ""
        raise ConfigError(f"{name} must be {expected}. Got {value!r}.{hint}") from error


def read_budget(budget: float | str) -> tuple[int, bool]:
    """Return a budget's number, and whether it is a rank, "r=8", not a count of parameters.

    Raises:
        ConfigError: It is neither.
    """
    value, is_rank = read_mean_budget(budget)
    if not value.is_integer():
        raise ConfigError(f"A rank in budget must be a whole number. Got {budget!r}.")
    return int(value), is_rank


def read_mean_budget(budget: float | str) -> tuple[float, bool]:
    """Return a budget's number as `read_budget` does; "r=0.5" is half the parameters of rank 1.

    Raises:
        ConfigError: It is neither a rank nor a count of parameters.
    """
    text = str(budget).replace(" ", "").replace(",", "").lower()
    number = text.removeprefix("r=")
    is_rank = number != text
    try:
        value = float(number)  # reads 300_000, 3e5 and 300000.0 alike
    except ValueError:
        value = 0.0
    if not (value > 0 and (is_rank or value.is_integer())):
        raise ConfigError(
            f"budget must be a positive number of parameters, or of the form 'r=8'. Got {budget!r}."
        )
    if value > MAX_PARAMETERS:
        raise ConfigError(
            f"budget {budget!r} is above {MAX_PARAMETERS:.0e} parameters, more than any model has."
        )
    return value, is_rank


@cache
def _kinds(settings: type) -> dict[str, Any]:
    hints = get_type_hints(settings, include_extras=True)
    return {field.name: hints[field.name] for field in fields(settings)}


def _plain(value: Any) -> Any:
    """Return NumPy's numbers as Python's, and other values as they are."""
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    return value


def _description(kind: Any) -> str:
    """Return an annotation in words."""
    if kind is type(None):
        return ""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) is Annotated:
        (meta,) = kind.__metadata__
        return meta.description
    names = {bool: "True or False", int: "a whole number", str: "a text", float: "a number"}
    lists = {tuple[int, ...]: "a list of whole numbers", tuple[float, ...]: "a list of numbers"}
    return {**names, **lists}.get(kind, "a list of texts")
