"""Print the help of a verb: its usage, an example, and its basic flags or all of them.

Loads no torch.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import Field, field, fields, make_dataclass
from typing import Annotated, Any

import tyro

from gelora.cli.config import BASIC_FLAGS, EXAMPLES, GROUPS, VERBS, flags_of, group_of
from gelora.lab.baselines import MODULES

_HELP = frozenset({"-h", "--help"})
_HELP_ALL = frozenset({"--help-all", "--help_all"})
_HELP_TEXTS = {
    "methods": (
        f"Any of {', '.join(MODULES)}, lora-r1, lora-r2, ... The comparison always includes gelora,"
        " lora-r1 and lora-r2. None compares all methods, or gelora-paper with --vary."
    )
}
"""Help texts that are made from tables of the code."""


def asks_for_help(arguments: Collection[str]) -> bool:
    """Return whether the arguments of a verb ask for its help."""
    return bool((_HELP | _HELP_ALL) & {*arguments})


def print_help(verb: str, arguments: Collection[str]) -> None:
    """Print the basic flags of a verb, or all of its flags where `--help-all` is given."""
    shows_all = bool(_HELP_ALL & {*arguments})
    with suppress(SystemExit):  # tyro leaves after it has printed help
        tyro.cli(
            _all_flags(verb) if shows_all else _basic_flags(verb),
            prog=f"gelora {verb}",
            description=_description(verb),
            args=["--help"],
            use_underscores=True,
            config=(tyro.conf.OmitArgPrefixes,),
        )
    if not shows_all:
        print(f"gelora {verb} --help-all lists all {len(flags_of(verb))} flags.")


def _description(verb: str) -> str:
    lines = [VERBS[verb].summary, "", "Example:", f"  {EXAMPLES[verb]}"]
    if VERBS[verb].forwards:
        lines += [
            "",
            "Other flags of transformers.TrainingArguments are passed on to the Trainer. For",
            "instruction tuning, the flags of trl.SFTConfig are passed on.",
        ]
    if VERBS[verb].has_tasks:
        lines += ["", "Every flag of gelora run is accepted and applies to all tasks."]
    return "\n".join(lines)


def _basic_flags(verb: str) -> type:
    """Return a class with the basic flags of a verb in one list, for tyro."""
    basic = BASIC_FLAGS[verb]
    groups = dict.fromkeys(group_of(verb, name) for name in basic)
    bases = [_group(verb, GROUPS[name], basic) for name in groups]
    return make_dataclass(verb, [], bases=tuple(reversed(bases)), frozen=True)


def _all_flags(verb: str) -> type:
    """Return a class with all flags of a verb in groups, for tyro."""
    groups = [
        (name, _group(verb, GROUPS[name], flags_of(verb)), field()) for name in VERBS[verb].groups
    ]
    return make_dataclass(verb, groups, frozen=True)


def _group(verb: str, group: type, shown: Collection[str]) -> type:
    """Return a group of flags that hides the other flags and shows operands by position."""
    changed: list[tuple[str, Any, Field[Any]]] = []
    for flag in fields(group):
        if flag.name in VERBS[verb].operands:
            metavar = tyro.conf.arg(metavar=flag.name.upper())
            changed.append((flag.name, Annotated[tyro.conf.Positional[str], metavar], field()))
        elif flag.name not in shown:
            changed.append((flag.name, Annotated[flag.type, tyro.conf.Suppress], flag))
        elif flag.name in _HELP_TEXTS:
            text = tyro.conf.arg(help=_HELP_TEXTS[flag.name])
            changed.append((flag.name, Annotated[flag.type, text], flag))
    return make_dataclass(
        group.__name__,
        changed,
        bases=(group,),
        frozen=True,
        kw_only=True,
        namespace={"__doc__": group.__doc__},
    )
