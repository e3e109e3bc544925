"""Write the reference pages from the code: Python, commands, files of a run, errors.

The pages are Markdown and go to `docs/reference/`, which git ignores. Nothing about a flag, a field
or an error is written here: names, types, defaults and words come from dataclasses and docstrings.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import gelora
import gelora.dimension
from gelora import artifacts, errors
from gelora.artifacts import Artifact
from gelora.cli.config import GROUPS, VERBS, Verb

OPTIONS = {
    "autoclass": ("members:", "inherited-members: TrainerCallback"),
    "autoexception": ("show-inheritance:",),
    "autodata": ("no-value:",),
}
"""Options of each directive of autodoc."""

TYPES = {str: "text", int: "whole number", float: "number", bool: "switch"}

FORWARDED = (
    "Every other flag of `transformers.TrainingArguments` is passed on to the Trainer. For "
    "instruction tuning, every flag of `trl.SFTConfig` is."
)
FORWARDED_TO_TASKS = (
    "Every flag of [`gelora run`](run.md) may be given too. It holds for all tasks."
)

FILES = {
    "CONFIG_FILE": "The flags of the run. `gelora run --config` with this file repeats the run.",
    "ENVIRONMENT_FILE": "Versions, hardware, git commit and the inputs of every stage.",
    "PROFILE_FILE": "The dimension after every block, with standard errors.",
    "PLAN_FILE": "The rank of every block and module.",
    "ADAPTER_FOLDER": "The adapter as PEFT saves it, its card, and copies of profile and plan.",
    "METRICS_FILE": "The metrics of the adapter and of its baselines, with standard errors.",
    "CUT_FOLDER": "The adapter that `gelora cut` left, with its card and `cut.json`.",
    "CUT_FILE": "What `gelora cut` did: ranks before and after, and validation losses by size.",
    "THEORY_FILE": "What `gelora verify` measured.",
    "REPORT_FILE": "One page that explains the run. It loads nothing from the network.",
}
"""What each file constant of `gelora.artifacts` stands for."""

METRICS = {
    "task": "Name of the task or of the data.",
    "model": "Name or path of the base model.",
    "problem": "What the model was trained to do.",
    "num_labels": "Number of classes, or null without classes.",
    "label_names": "Names of the classes, or null without names.",
    "headline_metric": "Name of the metric that decides.",
    "metrics": "Per metric: `value`, `standard_error`, `num_samples`.",
    "baselines": "Per baseline, the same metrics.",
    "history": "The Trainer's log: one entry per logged step.",
    "seed": "Seed of the training.",
    "seconds": "Seconds per stage.",
    "peak_memory_bytes": "Largest memory of the process, or of the GPU.",
    "trainable_parameters": "Trained parameters of the `adapter` and of the `head`.",
    "plan_hash": "Hash of the plan that the adapter was trained with.",
}
"""Fields of `metrics.json`. A test compares them with those of a real run."""

ENVIRONMENT = {
    "command": "The command line.",
    "python": "Version of Python.",
    "packages": "Version of every package that computes something.",
    "platform": "Operating system.",
    "processor_count": "Number of processors.",
    "device": "Device of the model.",
    "git_commit": "Commit of the folder in which the command was called, or null.",
    "data": "Where the texts come from, with their hash.",
    "model_revision": "Revision of the model, or null.",
    "stages": "Per stage: its `inputs`, its seconds and its memory.",
}
"""Fields of `environment.json`. A test compares them with those of a real run."""


def pages() -> dict[str, str]:
    """Return every generated page by its path under `docs/reference/`."""
    verbs = {f"verbs/{name}.md": verb_page(name, verb) for name, verb in VERBS.items()}
    return {
        "python.md": python_page(),
        "dimension.md": dimension_page(),
        "types.md": types_page(),
        "commands.md": commands_page(),
        **verbs,
        "files.md": files_page(),
        "errors.md": errors_page(),
    }


def python_page() -> str:
    """Return the page of the names in `gelora.__all__`."""
    names = [name for name in gelora.__all__ if not _is_error(getattr(gelora, name))]
    return _title(
        "Python",
        "Every public name of `gelora`. Importing `gelora` loads no torch: each name is loaded "
        "when it is first used. There are other pages for the [estimators](dimension.md) and the "
        "[errors](errors.md).",
    ) + _documented("gelora", names)


def dimension_page() -> str:
    """Return the page of the names in `gelora.dimension.__all__`."""
    shown = {id(getattr(gelora, name)) for name in gelora.__all__}
    names = [n for n in gelora.dimension.__all__ if id(getattr(gelora.dimension, n)) not in shown]
    return _title(
        "Estimators",
        "Public names of `gelora.dimension`, which need no model. `TwoNN` and `DimensionProfile` "
        "stand with [the other names of `gelora`](python.md).",
    ) + _documented("gelora.dimension", names)


def types_page() -> str:
    """Return the page of the types that public names take and return, but do not export."""
    names = sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in types_of_signatures())
    return _title(
        "Types in signatures",
        "Types that the [functions](python.md) and the [estimators](dimension.md) take or return. "
        "They are not names of `gelora`, since users seldom make them.",
    ) + "\n".join(_directive("autoclass", name) for name in names)


def commands_page() -> str:
    """Return the page that lists all verbs."""
    lines = [f"[`gelora {name}`](verbs/{name}.md)\n: {_text(v.summary)}\n" for name, v in _by_use()]
    toctree = "\n".join(f"verbs/{name}" for name, _ in _by_use())
    return (
        _title(
            "Commands",
            "Flags are written `--output_dir` or `--output-dir`. A YAML file for `--config` has "
            "one `flag: value` a line. The folder of a run remembers its flags. A flag on the "
            "command line overrides the file, and the file overrides the folder.",
        )
        + "\n".join(lines)
        + f"\n```{{toctree}}\n:hidden:\n\n{toctree}\n```\n"
    )


def verb_page(name: str, verb: Verb) -> str:
    """Return the page of one verb: its flags by group, with type, default and help."""
    operands = "".join(f" {operand.upper()}" for operand in verb.operands)
    more = [FORWARDED] if verb.forwards else []
    more += [FORWARDED_TO_TASKS] if verb.has_tasks else []
    usage = f"```text\ngelora {name}{operands} [FLAGS]\n```\n"
    opening = _title(f"gelora {name}", _text(verb.summary)) + usage
    groups = [_group(GROUPS[group]) for group in verb.groups]
    return "\n".join([opening, *(f"{line}\n" for line in more), *groups])


def files_page() -> str:
    """Return the page of a run's files, and of the fields of each JSON file."""
    table = "\n".join(f"`{file}`\n: {words}\n" for file, words in files().items())
    opening = _title(
        "Files of a run",
        "A run leaves these files in `--output_dir`. JSON is sorted and indented, floats have full "
        "precision, and each file names by hash the file it was made from. Every JSON file has its "
        "`kind` and `schema_version`, too.",
    )
    plain = "\n".join(
        f"## `{file}`\n\n" + "\n".join(f"`{name}`\n: {text}\n" for name, text in named.items())
        for file, named in (
            (artifacts.METRICS_FILE, METRICS),
            (artifacts.ENVIRONMENT_FILE, ENVIRONMENT),
        )
    )
    kinds = [kind for kind in artifact_types() if kind.FILE in files()]
    return "\n".join([opening, table, *map(_artifact, kinds), plain])


def errors_page() -> str:
    """Return the page of all errors and warnings: the tree, then each of them."""
    roots = (errors.GeloraError, errors.GeloraWarning)
    tree = "\n".join(line for root in roots for line in _branch(root, 0))
    names = [kind.__name__ for root in roots for kind in _family(root)]
    return (
        _title(
            "Errors and warnings",
            "Each error is also the builtin that a caller would expect, such as `ValueError`. On "
            "the command line an error of this list is one sentence, and the exit code is 2.",
        )
        + f"{tree}\n\n"
        + "\n".join(_directive("autoexception", f"gelora.errors.{name}") for name in names)
    )


def files() -> dict[str, str]:
    """Return what each file or folder of a run is for; every constant must have its words."""
    constants = [name for name in vars(artifacts) if re.fullmatch(r"[A-Z]+_(FILE|FOLDER)", name)]
    return {getattr(artifacts, name): FILES[name] for name in sorted(constants, key=[*FILES].index)}


def artifact_types() -> list[type[Artifact]]:
    """Return every kind of file that is a dataclass, found by importing all of gelora."""
    for module in pkgutil.walk_packages(gelora.__path__, "gelora."):
        if module.name.rpartition(".")[2] != "__main__":
            _import(module.name)
    return sorted(Artifact.__subclasses__(), key=lambda kind: kind.FILE)


def types_of_signatures() -> list[type]:
    """Return gelora's own types that public signatures and fields name, at any depth."""
    public = {id(value): value for owner in (gelora, gelora.dimension) for value in _values(owner)}
    found = list(public.values())
    for value in found:
        inside = [part for hint in _hints(value) for part in _parts(hint)]
        found += dict.fromkeys(p for p in inside if _is_ours(p) and p not in found)
    return [kind for kind in found if id(kind) not in public]


def flag_help(group: type) -> dict[str, str]:
    """Return the help of every flag: the string under its field.

    >>> from dataclasses import dataclass
    >>> flag_help(GROUPS["evaluation"])
    {'per_device_eval_batch_size': 'Texts in one forward pass.'}
    """
    helps: dict[str, str] = {}
    for owner in reversed(group.__mro__[:-1]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(tree, ast.ClassDef)
        for node, below in zip(tree.body, tree.body[1:], strict=False):
            match node, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(words))),
                ):
                    helps[name] = " ".join(words.split())
    return helps


def type_words(hint: Any) -> str:
    """Return a flag's type in words.

    >>> type_words(tuple[str, ...] | None), type_words(Literal["a", "b"])
    ('one or more texts', 'a, b')
    """
    if hint in TYPES:
        return TYPES[hint]
    arguments = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(type_words(part) for part in arguments if part is not NoneType)
    if get_origin(hint) is Literal:
        return ", ".join(map(str, arguments))
    if get_origin(hint) is tuple:
        return f"one or more {type_words(arguments[0])}s"
    message = f"no words for the type {hint}"
    raise TypeError(message)


def attributes_of(kind: type) -> dict[str, str]:
    """Return the words of a class docstring's section "Attributes", by field."""
    section = re.search(
        r"^Attributes:\n((?:    .*\n|\n)+)", f"{inspect.getdoc(kind)}\n", re.MULTILINE
    )
    if section is None:
        return {}
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section[1], re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in found}


def _by_use() -> list[tuple[str, Verb]]:
    """Return the verbs with `run` first."""
    return sorted(VERBS.items(), key=lambda item: item[0] != "run")


def _title(title: str, text: str) -> str:
    return f"# {title}\n\n{text}\n\n"


def _text(words: str) -> str:
    """Return words as Markdown: flags as code, no character taken for markup."""
    escaped = re.sub(r"([*<>\[\]|$])", r"\\\1", words)
    return re.sub(r"(?<![\w`-])(--\w+)(?!`)", r"`\1`", escaped)


def _group(group: type) -> str:
    hints, helps = get_type_hints(group), flag_help(group)
    first_line = (inspect.getdoc(group) or "").partition("\n")[0]
    flags = [_flag(flag, hints[flag.name], helps[flag.name]) for flag in fields(group)]
    return f"## {first_line.removesuffix('.')}\n\n" + "\n".join(flags)


def _flag(flag: Field[Any], hint: Any, words: str) -> str:
    value = flag.default if flag.default is not MISSING else flag.default_factory()  # type: ignore[misc]
    shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    default = f"`{shown}`" if shown else "empty"
    kind = type_words(hint)
    return f"`--{flag.name}`\n: {_text(words)}\\\n  *{_text(kind)}*; default {default}\n"


def _is_error(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _documented(module: str, names: list[str]) -> str:
    """Return the autodoc directives of a module's names: functions, then classes, then values."""
    owner = importlib.import_module(module)
    values = {name: getattr(owner, name) for name in names}
    functions = [name for name, value in values.items() if inspect.isfunction(value)]
    classes = [name for name, value in values.items() if isinstance(value, type)]
    others = [name for name in names if name not in {*functions, *classes}]
    parts = [("Functions", "autofunction", functions), ("Classes", "autoclass", classes)]
    parts += [("Values", "autodata", others)]
    return "\n".join(
        f"## {title}\n\n" + "\n".join(_directive(kind, f"{module}.{name}") for name in listed)
        for title, kind, listed in parts
        if listed
    )


def _directive(kind: str, name: str) -> str:
    options = "".join(f"   :{option}\n" for option in OPTIONS.get(kind, ()))
    return f"```{{eval-rst}}\n.. {kind}:: {name}\n{options}```\n"


def _artifact(kind: type[Artifact]) -> str:
    """Return the section of one JSON file, with the records inside it."""
    parts = [f"## `{kind.FILE}`\n", *(_fields(each) for each in _records(kind))]
    return "\n".join(parts)


def _fields(kind: type) -> str:
    words = {**flag_help(kind), **attributes_of(kind)}
    opening = _text((inspect.getdoc(kind) or "").partition("\n")[0])
    named = [f"`{one.name}`\n: {_text(words[one.name])}\n" for one in fields(kind)]
    return "\n".join([f"**{kind.__name__}**: {opening}\n", *named])


def _records(kind: type) -> list[type]:
    """Return a dataclass and every dataclass inside it, each once."""
    found = [kind]
    for owner in found:
        inside = [part for hint in get_type_hints(owner).values() for part in _parts(hint)]
        found += dict.fromkeys(p for p in inside if is_dataclass(p) and p not in found)
    return found


def _values(owner: Any) -> list[Any]:
    return [getattr(owner, name) for name in owner.__all__]


def _hints(value: Any) -> list[Any]:
    """Return every type that a function, or a class with its public members, names."""
    if not isinstance(value, type):
        return [*_type_hints(value).values()] if inspect.isfunction(value) else []
    members = [
        member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        for owner in value.__mro__
        if owner.__module__.startswith("gelora")
        for name, member in vars(owner).items()
        if not name.startswith("_")
    ]
    return [*_type_hints(value).values(), *(h for m in members for h in _hints(m))]


def _type_hints(value: Any) -> dict[str, Any]:
    """Return type hints; a type that is imported for type checkers alone counts as Any."""
    unknown: dict[str, Any] = {}
    while True:
        try:
            return get_type_hints(value, localns=unknown)
        except NameError as error:
            unknown[error.name] = Any


def _is_ours(value: Any) -> bool:
    return isinstance(value, type) and value.__module__.startswith("gelora")


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    for argument in get_args(hint):
        yield from _parts(argument)
    if isinstance(hint, list):  # the arguments of a Callable
        for argument in hint:
            yield from _parts(argument)


def _family(kind: type) -> list[type]:
    return [kind, *(one for child in kind.__subclasses__() for one in _family(child))]


def _branch(kind: type, depth: int) -> list[str]:
    entry = f"{'  ' * depth}- {{py:exc}}`~gelora.errors.{kind.__name__}`"
    return [entry, *(line for child in kind.__subclasses__() for line in _branch(child, depth + 1))]


def _import(name: str) -> None:
    """Import a module, unless an optional package that it needs is missing."""
    try:
        importlib.import_module(name)
    except ImportError as error:
        if (error.name or "").startswith("gelora"):
            raise
