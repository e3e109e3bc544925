"""Which modules of the blocks get an adapter: by role, all, or by name as PEFT takes them."""

import difflib
from collections.abc import Sequence

from gelora.dimension.profile import BlockModule
from gelora.errors import RankError

ATTENTION_ROLES = frozenset({"query", "key", "value", "query_key_value", "output"})


def select_modules(
    modules: Sequence[BlockModule], target_modules: str | Sequence[str]
) -> tuple[BlockModule, ...]:
    """Return the modules that `target_modules` asks for, in the order of the model.

    Args:
        modules: All modules of all blocks.
        target_modules: "attention", "all-linear", or names: each is a module's path or the end
            of one at a dot, as in PEFT's LoraConfig.

    Raises:
        RankError: A name matches no module, or nothing is selected.
    """
    if target_modules == "all-linear":
        return tuple(modules)
    if target_modules == "attention":
        return tuple(module for module in modules if module.role in ATTENTION_ROLES)
    names = [target_modules] if isinstance(target_modules, str) else list(target_modules)
    for name in names:
        if not any(_ends_with(module.name, name) for module in modules):
            raise RankError(_unknown(name, modules))
    chosen = tuple(m for m in modules if any(_ends_with(m.name, name) for name in names))
    if not chosen:
        raise RankError("target_modules is empty: name at least one module, or 'attention'.")
    return chosen


def _ends_with(path: str, name: str) -> bool:
    return path == name or path.endswith(f".{name}")


def _unknown(name: str, modules: Sequence[BlockModule]) -> str:
    """Say which names there are: those inside the first block, each once."""
    seen = sorted({module.name.rsplit(".", 1)[-1] for module in modules})
    near = difflib.get_close_matches(name, seen, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return (
        f"No module of the blocks is named {name!r}.{hint} "
        f"There are {', '.join(seen)}; 'attention' and 'all-linear' select by kind."
    )
