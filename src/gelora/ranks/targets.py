"""Which modules of the blocks get an adapter: by role, all, or by name as PEFT takes them."""

import difflib
from collections.abc import Sequence

from gelora.dimension.profile import NOT_LINEAR, BlockModule, LeftOut
from gelora.errors import RankError

ATTENTION_ROLES = frozenset({"query", "key", "value", "query_key_value", "output", "mixer"})


def select_modules(
    modules: Sequence[BlockModule],
    target_modules: str | Sequence[str],
    *,
    left_out: Sequence[LeftOut] = (),
) -> tuple[BlockModule, ...]:
    """Return the modules that `target_modules` asks for, in the order of the model.

    Args:
        modules: All modules of all blocks.
        target_modules: "attention", "all-linear", or names: each is a module's path or the end
            of one at a dot, as in a list for PEFT's LoraConfig (regular expressions are not read).
        left_out: What no adapter can be put on, for messages.

    Raises:
        RankError: A name matches no module, or nothing is selected.
    """
    names = target_names(target_modules)
    if names == ["all-linear"]:
        chosen = tuple(modules)
    elif names == ["attention"]:
        chosen = tuple(module for module in modules if module.role in ATTENTION_ROLES)
    else:
        for name in names:
            if not any(_is_named(module.name, name) for module in modules):
                raise RankError(_unknown(name, modules, left_out))
        chosen = tuple(m for m in modules if any(_is_named(m.name, name) for name in names))
    if not chosen:
        _refuse_left_out(left_out)
        raise RankError(
            f"target_modules {target_modules!r} selects none of the {len(modules)} modules of the "
            f"blocks: name some of {', '.join(_last_names(modules))}."
        )
    return chosen


def target_names(target_modules: str | Sequence[str]) -> list[str]:
    """Return `target_modules` as a list, whether it is one text or several."""
    return [target_modules] if isinstance(target_modules, str) else list(target_modules)


def _is_named(path: str, name: str) -> bool:
    """Whether a name is the end of a path, or a path from a model whose backbone has a prefix."""
    return f".{path}".endswith(f".{name}") or name.endswith(f".{path}")


def _last_names(modules: Sequence[BlockModule]) -> list[str]:
    return sorted({module.name.rsplit(".", 1)[-1] for module in modules})


def _refuse_left_out(left_out: Sequence[LeftOut]) -> None:
    """Refuse targets all of which are left out."""
    shared = [part.name for part in left_out if part.reason != NOT_LINEAR]
    if shared:
        reason = next(part.reason for part in left_out if part.name == shared[0])
        raise RankError(
            f"The modules to adapt ({', '.join(shared[:4])}) are {reason}, so they have no rank of "
            "their own: name others as target_modules, or 'all-linear'."
        )


def _unknown(name: str, modules: Sequence[BlockModule], left_out: Sequence[LeftOut]) -> str:
    for part in left_out:
        if _is_named(part.name, name) and part.reason != NOT_LINEAR:
            return (
                f"The modules named {name!r} are {part.reason}, so an adapter on them would not "
                "do what it says: leave them out of target_modules."
            )
    seen = _last_names(modules)
    near = difflib.get_close_matches(name, seen, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return (
        f"No module of the blocks is named {name!r}.{hint} "
        f"There are {', '.join(seen)}; 'attention' and 'all-linear' select by kind."
    )
