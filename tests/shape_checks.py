"""The check of arrays that gelora's functions are compiled with in tests.

`jaxtyping` hands the functions of `MODULES` to `checked` (see `conftest.py`) and binds the names
of the axes over all arguments and the result of one call. Other annotations are pyright's to check:
many functions take anything and refuse it in words, which tests call with wrong arguments.
"""

import contextlib
from pathlib import Path
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray

_SOURCE = Path(__file__).parents[1] / "src"
MODULES = [
    ".".join(path.relative_to(_SOURCE).with_suffix("").parts)
    for path in sorted(_SOURCE.rglob("*.py"))
    if "from jaxtyping" in path.read_text()
]
"""The modules that say what shapes their arrays have."""


def checked(function):
    """Return the function with its arrays' types and shapes checked on every call."""
    annotations = getattr(function, "__annotations__", {})
    arrays = {name: hint if _is_array(hint) else Any for name, hint in annotations.items()}
    if all(hint is Any for hint in arrays.values()):
        return function
    with contextlib.suppress(AttributeError):  # a method of a C type has no annotations to set
        function.__annotations__ = arrays
    return beartype(function)


def _is_array(hint):
    """Say whether a hint names an array, alone or inside others."""
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_is_array(part) for part in get_args(hint))
