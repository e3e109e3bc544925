"""From a command line, the YAML file it may name and the run's folder to a `Config`.

The flags in the folder's config.yaml hold unless those of --config say otherwise, and these hold
unless the command line says otherwise. All are texts first, and are read in the same way. Loads no
torch, unless a YAML key may be one of `transformers.TrainingArguments` or of TRL's.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from gelora.cli.config import FLAGS, GROUPS, READING, SOURCE, VERBS, Config, flags_of
from gelora.cli.console import hush_libraries
from gelora.cli.record import saved_flags, source_flags
from gelora.cli.values import Texts, as_texts, read_yaml, refuse_stray, split_flags, value_of
from gelora.errors import ConfigError
from gelora.settings import checked

# Flags of which one named drops those of a file below: they say the same thing in two ways.
ALTERNATIVES = [
    (names, names)
    for names in (
        frozenset({"rank_rule", "budget"}),
        frozenset({"scaling", "lora_alpha"}),
    )
] + [
    (frozenset({"hidden_states"}), READING | SOURCE),
    (
        frozenset({"model_name_or_path", "task_name", "dataset_name", "train_file"}),
        frozenset({"hidden_states"}),
    ),
]
# Data named drop all that the run's folder says of its own: columns of one file are not another's.
DATA = [
    (
        frozenset({"task_name", "dataset_name", "train_file"}),
        frozenset(n for n, group in FLAGS.items() if group == "data" and n != "max_length"),
    ),
    (frozenset({"validation_file"}), frozenset({"validation_mismatched_file"})),
]
ALIASES = {"task": "task_name"}
ALIASES_OF_TASKS = {"task": "tasks", "budget": "budgets"}
"""Of a verb that has tasks."""
TASKS_FOLDER = "runs/comparison"
"""Where such a verb's results go unless a folder is named."""
HABITS: Mapping[str, str] = {
    **{
        habit: f"here it is --{flag}"
        for flag, habits in {
            "model_name_or_path": "model model_name model_id base_model",
            "dataset_name": "dataset dataset_id",
            "train_file": "data_path train_data training_file data_file",
            "validation_file": "eval_file val_file dev_file test_file validation_data",
            "text_columns": "text_column text_field input_column",
            "label_column": "label label_col target_column label_name",
            "task_type": "problem_type",
            "max_length": "max_seq_length max_seq_len cutoff_len max_len model_max_length",
            "num_train_epochs": "epochs num_epochs n_epochs",
            "learning_rate": "lr",
            "per_device_train_batch_size": "batch_size train_batch_size micro_batch_size",
            "per_device_eval_batch_size": "eval_batch_size",
            "target_modules": "lora_target lora_target_modules",
            "lora_alpha": "alpha",
            "scaling": "alpha_per_rank",
            "overwrite": "overwrite_output_dir overwrite_output",
            "eval_strategy": "evaluation_strategy",
            "budget": "rank_budget",
            "trust_remote_code": "trust_remote",
            "warmup_steps": "warmup_ratio",
        }.items()
        for habit in habits.split()
    },
    **dict.fromkeys(
        ("r", "rank", "lora_r", "lora_rank", "lora_dim"),
        "ranks are planned: --budget r=8 spends what uniform LoRA of rank 8 does",
    ),
    **dict.fromkeys(
        ("do_train", "do_eval", "do_predict"),
        "gelora train trains and evaluates, and gelora evaluate evaluates: leave it out",
    ),
    **dict.fromkeys(("token", "hf_token"), "set HF_TOKEN in the environment"),
}
"""What flags of other tools are called here."""
DEFAULT_VALUES = {"uniform": "auto"}
"""Flags that may stand without a value, besides switches, and what they are then."""
KINDS: Mapping[str, Mapping[str, Any]] = {
    group: get_type_hints(flags, include_extras=True) for group, flags in GROUPS.items()
}
"""The annotation of every flag, by its group."""


def parse(verb: str, arguments: Sequence[str]) -> Config:
    """Read a verb's flags from a command line, the file it names and the run's folder.

    Raises:
        ConfigError: A flag or YAML key is unknown, a value is of the wrong type or out of its
            range, or a file cannot be read.
    """
    aliases = ALIASES_OF_TASKS if VERBS[verb].has_tasks else ALIASES
    flags = _command_line(verb, arguments, aliases)
    path = Path(_value("run", "config", flags["config"])) if "config" in flags else None
    written = read_yaml(path) if path is not None else {}
    keys = {aliases.get(name, name): value for name, value in written.items()}
    chosen = _not_replaced(as_texts(keys), flags, ALTERNATIVES)
    named = {**_for_verb(verb, chosen), **flags}
    config = _read(verb, named)
    if VERBS[verb].has_tasks:  # the tasks read their own flags from these, and check them
        run = replace(config.run, output_dir=config.run.output_dir or TASKS_FOLDER)
        return replace(config, run=run, named=frozenset({*chosen, *flags}))
    own = {n: v for n, v in saved_flags(config.folder).items() if _is_of_verb(verb, n)}
    saved = {
        **_not_replaced(_source_of(config.plan_source.plan), named, DATA),
        **_not_replaced(as_texts(own), named, [*ALTERNATIVES, *DATA]),
        **_not_replaced(_source_of(config.states.hidden_states), named, DATA),
    }
    if saved and not VERBS[verb].operands:
        # Kept states have no folder unless one is named; checks.py says so.
        has_states = config.states.hidden_states is not None
        folder = {} if has_states else {"output_dir": [str(config.folder)]}
        config = _read(verb, {**_for_verb(verb, saved), **folder, **named})
    if path is not None:
        _check_keys(keys, path, config)
    measuring = {name for name in chosen if FLAGS.get(name) in ("measurement", "states")}
    return replace(config, named=frozenset(measuring | flags.keys()))


def unknown_flag(name: str, known: Iterable[str], *, key_in: Path | None = None) -> ConfigError:
    """Return the error for a flag, or a key in a file, that is not known, naming the nearest."""
    shown = f"flag --{name}" if key_in is None else f"flag for the key {name!r} in {key_in}"
    if name in HABITS:
        return ConfigError(f"There is no {shown}; {HABITS[name]}.")
    verbs = [f"gelora {verb}" for verb in VERBS if name in flags_of(verb)]
    elsewhere = f"; it is one of {', '.join(verbs)}." if verbs else "; --help-all lists all flags."
    return ConfigError(f"There is no {shown}{nearest(name, known) or elsewhere}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that is nearest, or an empty text.

    >>> nearest("mesure", ["measure", "plan"])
    "; did you mean 'measure'?"
    """
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.7)
    return f"; did you mean {near[0]!r}?" if near else ""


def training_fields(problem: str | None) -> frozenset[str]:
    """Return the names of all flags that are passed on to the Trainer of a problem."""
    from gelora.tasks.train import arguments_type

    return frozenset(field.name for field in fields(arguments_type(problem)))


def _command_line(verb: str, arguments: Sequence[str], aliases: Mapping[str, str]) -> Texts:
    """Return the flags of a command line by their full names, with operands and `--no_FLAG`."""
    leading, written = split_flags(arguments)
    operands = VERBS[verb].operands
    refuse_stray(leading[len(operands) :])
    flags = {name: [text] for name, text in zip(operands, leading, strict=False)}
    for name, texts in written.items():
        switch = name.removeprefix("no_")
        if switch != name and switch in FLAGS and KINDS[FLAGS[switch]][switch] is bool:
            flags[switch] = ["False"]
        else:
            flags[aliases.get(name, name)] = texts
    return flags


def _read(verb: str, flags: Texts) -> Config:
    """Return the flags of a verb, each checked by its annotation, and those that are passed on."""
    known = flags_of(verb)
    extra = {name: value_of(texts) for name, texts in flags.items() if name not in known}
    passes_on = VERBS[verb].forwards or VERBS[verb].has_tasks
    for name in extra:
        if name in HABITS or not passes_on:
            raise unknown_flag(name, known)
    groups: dict[str, Any] = {}
    for group in VERBS[verb].groups:
        mine = [name for name in flags if name in KINDS[group]]
        groups[group] = GROUPS[group](**{name: _value(group, name, flags[name]) for name in mine})
    return Config(**groups, extra=extra)


def _value(group: str, name: str, texts: Sequence[str]) -> Any:
    """Return the value of one of our flags.

    Raises:
        ConfigError: It is missing, of the wrong type or out of its range, or there are several.
    """
    kind = KINDS[group][name]
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if any(get_origin(part) is tuple for part in kinds):
        return checked(f"--{name}", list(texts), kind, strict=False)
    refuse_stray(texts[1:])
    if texts:
        is_none = texts[0] == "None" or (str not in kinds and texts[0].lower() == "none")
        if type(None) in kinds and is_none:
            return None
        is_text = str in kinds and bool not in kinds
        value = texts[0] if is_text else value_of(texts)
        return checked(f"--{name}", value, kind, strict=False)
    if bool in kinds:
        return True
    if name in DEFAULT_VALUES:
        return DEFAULT_VALUES[name]
    raise ConfigError(f"--{name} needs a value.")


def _source_of(place: str | None) -> Texts:
    """Return the model and texts of the run that a plan or kept states come from."""
    return {} if place is None or not Path(place).exists() else as_texts(source_flags(Path(place)))


def _not_replaced(
    flags: Texts,
    named: Collection[str],
    replacements: Sequence[tuple[frozenset[str], frozenset[str]]],
) -> Texts:
    """Return the flags that stand beside those named: one of a pair drops the other."""
    dropped = {name for naming, drops in replacements if naming & {*named} for name in drops}
    return {name: texts for name, texts in flags.items() if name not in dropped}


def _for_verb(verb: str, flags: Texts) -> Texts:
    """Return the flags that a verb takes: one file serves all verbs of a run."""
    if VERBS[verb].has_tasks:
        return flags
    known, forwards = flags_of(verb), VERBS[verb].forwards
    return {k: v for k, v in flags.items() if k in known or (forwards and k not in FLAGS)}


def _is_of_verb(verb: str, name: str) -> bool:
    """Whether a flag that a run has saved means the same to a verb: cut has budgets of its own."""
    return name not in flags_of(verb) or FLAGS[name] in VERBS[verb].groups


def _check_keys(keys: Mapping[str, Any], path: Path, config: Config) -> None:
    """Refuse keys that no verb takes, and keys of keys but where transformers takes them."""
    foreign = keys.keys() - FLAGS.keys()
    known: frozenset[str] = frozenset()
    if foreign:
        hush_libraries(config.run)
        known = training_fields(config.problem)
    for name, value in keys.items():
        if isinstance(value, dict) and name not in known:
            raise ConfigError(
                f"The key {name!r} in {path} holds keys of its own: write one flag: value per line."
            )
        if name in foreign and name not in known:
            raise unknown_flag(name, known | FLAGS.keys(), key_in=path)
