"""Checks of arguments that many functions take."""

import math
from numbers import Integral, Real
from typing import Any

from gelora.errors import ConfigError

MAX_SEED = 2**32 - 1
"""Largest seed that NumPy takes."""


def check_count(name: str, value: Any, *, least: int = 1, most: int | None = None) -> None:
    """Check that an argument is a whole number in its range.

    Raises:
        ConfigError: It is not, or a truth value.
    """
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or not least <= int(value) <= (int(value) if most is None else most):
        range_ = f"at least {least}" if most is None else f"between {least} and {most}"
        raise ConfigError(f"{name} must be a whole number, {range_}. Got {value!r}.")


def check_share(name: str, value: Any, *, most: float) -> None:
    """Check that an argument is a number from 0 to `most`.

    Raises:
        ConfigError: It is not.
    """
    if not is_number(value) or not 0 <= value <= most:
        raise ConfigError(f"{name} must be between 0 and {most:g}. Got {value!r}.")


def is_number(value: Any) -> bool:
    """Say whether a value is a finite number, and no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
