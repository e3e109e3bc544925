"""From a command line, the YAML file it may name and the run's folder to a `Config`.

What the folder's config.yaml says holds unless --config says otherwise, and that unless the command
line does. YAML has no parser of its own: each key becomes its flag, placed before those of the
command line, so that the later one wins and all are read the same way. Loads no torch; only where
a YAML key may be one of `transformers.TrainingArguments` or of TRL's are those imported.
"""

import contextlib
import difflib
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, field, fields, make_dataclass, replace
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, cast

from gelora.cli.config import FLAGS, GROUPS, READING, SOURCE, VERBS, Config, flags_of
from gelora.cli.console import hush_libraries
from gelora.cli.record import saved_flags, source_flags
from gelora.cli.values import as_arguments, as_mapping, read_yaml
from gelora.errors import ConfigError, GeloraError
from gelora.settings import RENAMED_VALUES

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
SWITCHES = frozenset(
    flag.name for group in GROUPS.values() for flag in fields(group) if flag.type is bool
)
TRUTHS = frozenset(
    flag.name for group in GROUPS.values() for flag in fields(group) if flag.type == bool | None
)
"""Switches that may be left open."""
OPTIONAL_VALUES = {"uniform": "auto", **dict.fromkeys(TRUTHS, "True")}
"""Flags that may stand without a value, and what they are then."""


def parse(verb: str, arguments: Sequence[str]) -> Config:
    """Read a verb's flags from a command line, the file it names and the run's folder.

    Raises:
        ConfigError: A flag or YAML key is unknown, or a file cannot be read.
        SystemExit: A value is of the wrong type (code 2).
    """
    aliases = ALIASES_OF_TASKS if VERBS[verb].has_tasks else ALIASES
    arguments = _spelled_out(_named_operands(verb, _underscored(arguments)), aliases)
    _refuse_renamed(arguments)
    path = _config_path(arguments)
    written = read_yaml(path) if path is not None else {}
    _refuse_renamed(as_arguments(written))
    keys = {aliases.get(name, name): value for name, value in written.items()}
    chosen = _not_replaced(keys, arguments, ALTERNATIVES)
    tokens = [*as_arguments(_for_verb(verb, chosen)), *arguments]
    config = _read(verb, tokens)
    if VERBS[verb].has_tasks:  # which take their own flags from these, and check them
        run = replace(config.run, output_dir=config.run.output_dir or TASKS_FOLDER)
        return replace(config, run=run, named=frozenset({*chosen, *_named(arguments)}))
    own = {n: v for n, v in saved_flags(config.folder).items() if _is_of_verb(verb, n)}
    saved = _not_replaced(own, tokens, [*ALTERNATIVES, *DATA])
    saved = _not_replaced(_source_of(config.plan_source.plan), tokens, DATA) | saved
    saved |= _not_replaced(_source_of(config.states.hidden_states), tokens, DATA)
    if saved and not VERBS[verb].operands:
        # Kept states have no folder unless one is named; checks.py says so.
        named = config.states.hidden_states is not None
        folder = [] if named else [f"--output_dir={config.folder}"]
        config = _read(verb, [*as_arguments(_for_verb(verb, saved)), *folder, *tokens])
    if path is not None:
        _check_keys(keys, path, config)
    measuring = {name for name in chosen if FLAGS.get(name) in ("measurement", "states")}
    return replace(config, named=frozenset(measuring | _named(arguments)))


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

    return frozenset(one.name for one in fields(arguments_type(problem)))


def _refuse_renamed(tokens: Sequence[str]) -> None:
    """Refuse an estimator's earlier name, which tyro would only call unknown."""
    for before, token in pairwise(["", *tokens]):
        flag, _, value = token.partition("=") if token.startswith("--") else (before, "", token)
        if _name(flag) in ("estimator", "by_estimator") and value in RENAMED_VALUES:
            raise ConfigError(f"--{_name(flag)} {value} is now {RENAMED_VALUES[value]}.")


def _config_path(arguments: Sequence[str]) -> Path | None:
    """Return the last --config, before the parser that its content goes into runs."""
    path = None
    for token, following in pairwise([*arguments, ""]):
        flag, equals, value = token.partition("=")
        if flag == "--config":
            path = Path(value if equals else following)
    return path


def _read(verb: str, tokens: Sequence[str]) -> Config:
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed, rest = cast(
                "tuple[Any, list[str]]",
                tyro.cli(
                    _flags_type(verb),
                    prog=f"gelora {verb}",
                    args=_plain_truths(_plain_switches(tokens)),
                    return_unknown_args=True,
                    use_underscores=True,
                    config=(tyro.conf.OmitArgPrefixes,),
                ),
            )
    except SystemExit as left:
        reason = left.__context__ and left.__context__.__context__
        if isinstance(reason, GeloraError):  # from a group's own check; tyro frames its message
            raise reason from None
        sys.stderr.write(said.getvalue())
        raise
    extra = as_mapping(rest)
    for name in extra.keys() & HABITS.keys():
        raise unknown_flag(name, flags_of(verb))
    if not (VERBS[verb].forwards or VERBS[verb].has_tasks):
        for name in extra:
            raise unknown_flag(name, flags_of(verb))
    return Config(**{group: getattr(parsed, group) for group in VERBS[verb].groups}, extra=extra)


def _source_of(place: str | None) -> dict[str, Any]:
    """Return the model and texts of the run that a plan or kept states come from."""
    return {} if place is None or not Path(place).exists() else source_flags(Path(place))


def _not_replaced(
    values: Mapping[str, Any],
    tokens: Sequence[str],
    replacements: Sequence[tuple[frozenset[str], frozenset[str]]],
) -> dict[str, Any]:
    """Return the values that stand beside the flags named: one of a pair drops the other."""
    named = _named(tokens)
    dropped = {name for naming, drops in replacements if naming & named for name in drops}
    return {name: value for name, value in values.items() if name not in dropped}


def _for_verb(verb: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the values that are this verb's: one file serves all verbs of a run."""
    if VERBS[verb].has_tasks:
        return dict(values)
    mine = flags_of(verb)
    forwards = VERBS[verb].forwards
    return {k: v for k, v in values.items() if k in mine or (forwards and k not in FLAGS)}


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


def _named(tokens: Sequence[str]) -> set[str]:
    return {_name(token) for token in tokens if token.startswith("--")}


def _name(token: str) -> str:
    return token.partition("=")[0].removeprefix("--").replace("-", "_")


def _flags_type(verb: str) -> type:
    groups: list[tuple[str, type, Field[Any]]] = [
        (name, GROUPS[name], field(default_factory=GROUPS[name])) for name in VERBS[verb].groups
    ]
    return make_dataclass(verb, groups, frozen=True)


def _underscored(tokens: Sequence[str]) -> list[str]:
    """Write the names of flags with underscores.

    >>> _underscored(["--text-columns", "a-b", "--output-dir=a-b"])
    ['--text_columns', 'a-b', '--output_dir=a-b']
    """
    split = [token.partition("=") for token in tokens]
    return [
        f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else token
        for token, (name, equals, value) in zip(tokens, split, strict=True)
    ]


def _named_operands(verb: str, tokens: Sequence[str]) -> list[str]:
    """Name the values that stand first.

    >>> _named_operands("compare-profiles", ["one", "runs/two", "--json"])
    ['--before=one', '--after=runs/two', '--json']
    """
    values = takewhile(lambda token: not token.startswith("-"), tokens)
    named = [f"--{name}={value}" for name, value in zip(VERBS[verb].operands, values, strict=False)]
    return [*named, *tokens[len(named) :]]


def _spelled_out(tokens: Sequence[str], aliases: Mapping[str, str] = ALIASES) -> list[str]:
    """Replace short names by full ones, and give flags without a value the one it stands for.

    >>> _spelled_out(["--task", "cola", "--uniform", "--merged"])
    ['--task_name', 'cola', '--uniform=auto', '--merged']
    """
    spelled: list[str] = []
    for token, following in pairwise([*tokens, "--"]):
        name, _, value = token.removeprefix("--").partition("=")
        if token.startswith("--") and name in aliases:
            spelled.append(f"--{aliases[name]}" + (f"={value}" if "=" in token else ""))
        elif token in {f"--{name}" for name in OPTIONAL_VALUES} and following.startswith("--"):
            spelled.append(f"{token}={OPTIONAL_VALUES[name]}")
        else:
            spelled.append(token)
    return spelled


def _plain_switches(tokens: Sequence[str]) -> list[str]:
    """Turn `--flag true` and `--flag=false`, as Hugging Face takes them, into --flag, --no_flag."""
    plain: list[str] = []
    switch = None
    for token in tokens:
        flag, equals, value = token.partition("=")
        word = (value if equals else token).lower()
        name = _name(token)
        if switch is not None and not equals and word in ("true", "false"):
            plain[-1] = f"--{switch}" if word == "true" else f"--no_{switch}"
            switch = None
        elif flag.startswith("--") and name in SWITCHES:
            off = equals and word == "false"
            plain.append(f"--no_{name}" if off else f"--{name}")
            switch = None if equals else name
        else:
            plain.append(token)
            switch = None
    return plain


def _plain_truths(tokens: Sequence[str]) -> list[str]:
    """Write the values of switches that may be left open as Python does.

    >>> _plain_truths(["--version_2_with_negative", "true", "--seed=1"])
    ['--version_2_with_negative', 'True', '--seed=1']
    """
    plain: list[str] = []
    for before, token in pairwise(["", *tokens]):
        flag, equals, value = token.partition("=")
        if equals and _name(token) in TRUTHS:
            plain.append(f"{flag}={value.capitalize()}")
        else:
            plain.append(token.capitalize() if _name(before) in TRUTHS else token)
    return plain
