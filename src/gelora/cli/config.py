"""The verbs, the groups of flags that each takes, and the value of a command line: `Config`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from gelora.artifacts import ADAPTER_FOLDER, CUT_FOLDER
from gelora.cli.flags import (
    AdapterSource,
    AnswerFlags,
    ComparisonFlags,
    CutFlags,
    DataFlags,
    EvaluationFlags,
    ExportFlags,
    LoraFlags,
    ModelFlags,
    PlanSource,
    ProfilePair,
    ProfileSource,
    RunFlags,
    StatesFlags,
    TrainingFlags,
)
from gelora.lab.theory.settings import TheorySettings
from gelora.settings import ESTIMATION, CutSettings, MeasurementSettings, RankSettings
from gelora.tasks.known import TASKS
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_TASK = "agreement"
DEFAULT_PRECISION = {"run": 0.1}  # the other verbs measure all texts


@dataclass(frozen=True)
class Config:
    """All groups. A verb fills those it takes, and the others keep their defaults.

    Attributes:
        extra: Flags that are passed on to `transformers.TrainingArguments`, or by `compare` to
            each task.
        named: Flags that the user set explicitly.
    """

    model: ModelFlags = field(default_factory=ModelFlags)
    data: DataFlags = field(default_factory=DataFlags)
    question_answering: QuestionAnsweringSettings = field(default_factory=QuestionAnsweringSettings)
    measurement: MeasurementSettings = field(default_factory=MeasurementSettings)
    states: StatesFlags = field(default_factory=StatesFlags)
    profile_source: ProfileSource = field(default_factory=ProfileSource)
    ranks: RankSettings = field(default_factory=RankSettings)
    plan_source: PlanSource = field(default_factory=PlanSource)
    lora: LoraFlags = field(default_factory=LoraFlags)
    training: TrainingFlags = field(default_factory=TrainingFlags)
    evaluation: EvaluationFlags = field(default_factory=EvaluationFlags)
    answers: AnswerFlags = field(default_factory=AnswerFlags)
    adapter_source: AdapterSource = field(default_factory=AdapterSource)
    export: ExportFlags = field(default_factory=ExportFlags)
    profile_pair: ProfilePair = field(default_factory=ProfilePair)
    comparison: ComparisonFlags = field(default_factory=ComparisonFlags)
    theory: TheorySettings = field(default_factory=TheorySettings)
    cut: CutSettings = field(default_factory=CutSettings)
    cutting: CutFlags = field(default_factory=CutFlags)
    run: RunFlags = field(default_factory=RunFlags)
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    named: frozenset[str] = frozenset()

    @property
    def model_name(self) -> str:
        """The model that was named, or the default."""
        return self.model.model_name_or_path or DEFAULT_MODEL

    def measuring(self, verb: str) -> MeasurementSettings:
        """The settings of measuring; the verb decides the precision if none was named."""
        if self.measurement.precision is not None:
            return self.measurement
        return replace(self.measurement, precision=DEFAULT_PRECISION.get(verb, 0.0))

    @property
    def resume(self) -> bool | str | None:
        """Checkpoint to resume from: True for the last one, a folder, or None."""
        checkpoint = self.training.resume_from_checkpoint
        words = {"true": True, "false": None}
        return words.get(checkpoint.lower(), checkpoint) if checkpoint else None

    @property
    def task_name(self) -> str | None:
        """The task that was named; the default if no data was named; None for other data."""
        return self.data.task_name or (None if self.names_data else DEFAULT_TASK)

    @property
    def names_data(self) -> bool:
        """Whether the flags, or those saved in the run's folder, name the texts."""
        data = self.data
        named = (data.task_name, data.dataset_name, data.train_file, data.validation_file)
        return any(name is not None for name in named)

    @property
    def problem(self) -> str | None:
        """The problem that the flags name, or None if only the data can tell."""
        task = TASKS.get(self.task_name or "")
        return self.data.task_type or (task.problem if task else None)

    @property
    def folder(self) -> Path:
        """Output folder: of `--adapter`, else `--output_dir`, else of `--profile`.

        The default is `runs/TASK-MODEL`. `gelora export --plan FILE` uses the folder of the plan.
        """
        if self.adapter_source.adapter is not None:
            adapter = Path(self.adapter_source.adapter)
            is_of_a_run = adapter.name in (ADAPTER_FOLDER, CUT_FOLDER) or adapter.name.startswith(
                "checkpoint-"
            )
            return adapter.parent if is_of_a_run else adapter
        if self.run.output_dir is not None:
            return Path(self.run.output_dir)
        if self.plan_source.plan is not None and self.export != ExportFlags():
            plan = Path(self.plan_source.plan)  # or an id on the Hub
            return _folder_of(plan) if plan.exists() else Path("runs") / plan.name
        profile = Path(self.profile_source.profile or "")
        if self.profile_source.profile is not None and profile.exists():
            return _folder_of(profile)
        file = self.data.train_file or self.data.validation_file or ""
        data = self.task_name or self.data.dataset_name or Path(file).name.partition(".")[0]
        return Path("runs") / f"{data.split('/')[-1]}-{Path(self.model_name).name}"


def _folder_of(path: Path) -> Path:
    return path if path.is_dir() else path.parent


@dataclass(frozen=True)
class Verb:
    """A verb of the command.

    Attributes:
        summary: One line of help.
        groups: The groups of flags that the verb takes.
        forwards: Whether other flags are passed on to the Trainer.
        has_tasks: Whether other flags are passed on to each task, as `run` takes them.
        operands: Flags that are given by position. A verb with operands reads the results of other
            runs and ignores the flags saved in its output folder.
    """

    summary: str
    groups: tuple[str, ...]
    forwards: bool = False
    has_tasks: bool = False
    operands: tuple[str, ...] = ()


_SOURCE = ("model", "data", "question_answering")
_READING = (*_SOURCE, "measurement", "states")
_UNTIL_TRAINING = (*_READING, "ranks", "lora")

VERBS = {
    "inspect": Verb(
        "Show what a run would read, adapt and cost; nothing is measured or written.",
        (*_UNTIL_TRAINING, "training", "evaluation", "run"),
        forwards=True,
    ),
    "measure": Verb(
        "Measure the intrinsic dimension after every block of a model, on your texts.",
        (*_READING, "ranks", "run"),
    ),
    "plan": Verb(
        "Choose a LoRA rank for every block from the measured dimensions.",
        ("profile_source", "ranks", "run"),
    ),
    "train": Verb(
        "Train a LoRA adapter with the planned ranks.",
        (*_SOURCE, "plan_source", "lora", "training", "evaluation", "run"),
        forwards=True,
    ),
    "evaluate": Verb(
        "Evaluate an adapter, with standard errors.",
        ("adapter_source", *_SOURCE, "evaluation", "answers", "run"),
    ),
    "export": Verb(
        "Export an adapter for servers, or a plan for other trainers.",
        ("adapter_source", "plan_source", "model", "data", "lora", "export", "run"),
    ),
    "cut": Verb(
        "Cut a trained adapter to the ranks that its training used.",
        (
            *("cut", "cutting", "adapter_source", "plan_source"),
            *(*_SOURCE, "training", "evaluation", "run"),
        ),
        forwards=True,
    ),
    "compare": Verb(
        "Compare methods on tasks at equal budgets, over seeds.",
        ("comparison", "run"),
        has_tasks=True,
    ),
    "compare-profiles": Verb(
        "Compare two profiles of one architecture: dimensions, increments and ranks.",
        ("profile_pair", "ranks", "run"),
        operands=("before", "after"),
    ),
    "verify": Verb(
        "Measure the theory on your model: ranks of Jacobians, Fisher information and updates.",
        (*_UNTIL_TRAINING, "theory", "run"),
    ),
    "report": Verb("Write the report of a run: one HTML page.", ("run",)),
    "run": Verb(
        "All of it: measure, plan, train, evaluate, report.",
        (*_UNTIL_TRAINING, "training", "evaluation", "run"),
        forwards=True,
    ),
}

_MODEL_AND_TEXTS = (
    "model_name_or_path",
    *("task_name", "dataset_name", "train_file", "validation_file"),
    *("text_columns", "label_column"),
)
_RANKS = ("rank_rule", "budget", "target_modules")
_TRAINING = ("learning_rate", "num_train_epochs", "per_device_train_batch_size")

BASIC_FLAGS: Mapping[str, tuple[str, ...]] = {
    "inspect": (*_MODEL_AND_TEXTS, *_RANKS, "output_dir", "config"),
    "measure": (*_MODEL_AND_TEXTS, "num_samples", "precision", "output_dir", "config"),
    "plan": ("profile", *_RANKS, "output_dir"),
    "train": ("plan", *_MODEL_AND_TEXTS, *_TRAINING, "output_dir", "config"),
    "evaluate": ("adapter", "validation_file", "output_dir"),
    "export": (
        *("uniform", "merged", "untrained", "axolotl", "peft", "export_dir"),
        *("adapter", "plan", "output_dir"),
    ),
    "cut": (
        *("budget", "energy", "tolerance", "importance", "plan"),
        *("finish_steps", "adapter", "cut_dir", "output_dir"),
    ),
    "compare": (
        *("tasks", "methods", "budgets", "seeds", "learning_rates", "processes"),
        *("output_dir", "config"),
    ),
    "compare-profiles": ("before", "after", "rank_rule", "budget", "output_dir"),
    "verify": (
        *_MODEL_AND_TEXTS,
        *("jacobian_samples", "fisher_samples", "tolerance", "output_dir", "config"),
    ),
    "report": ("output_dir",),
    "run": (*_MODEL_AND_TEXTS, *_RANKS, *_TRAINING, "output_dir", "config"),
}
"""Flags that the help of a verb shows without `--help-all`. Groups come in the order given here."""

_ON_THE_DEMO = f"--model_name_or_path {DEFAULT_MODEL} --task_name {DEFAULT_TASK}"

EXAMPLES: Mapping[str, str] = {
    "inspect": f"gelora inspect {_ON_THE_DEMO}",
    "measure": f"gelora measure {_ON_THE_DEMO} --output_dir runs/demo",
    "plan": "gelora plan --output_dir runs/demo --rank_rule budget --budget r=8",
    "train": "gelora train --output_dir runs/demo --num_train_epochs 1",
    "evaluate": "gelora evaluate --output_dir runs/demo",
    "export": "gelora export --output_dir runs/demo --uniform",
    "cut": "gelora cut --output_dir runs/demo --budget r=0.5",
    "compare": f"gelora compare --model_name_or_path {DEFAULT_MODEL} --methods lora dora",
    "compare-profiles": "gelora compare-profiles runs/demo runs/other",
    "verify": "gelora verify --output_dir runs/demo",
    "report": "gelora report --output_dir runs/demo",
    "run": f"gelora run {_ON_THE_DEMO} --output_dir runs/other",
}
"""One command for the help of each verb. `measure` comes before the verbs that read its folder."""

GROUPS: Mapping[str, type] = {
    group.name: group.default_factory
    for group in fields(Config)
    if isinstance(group.default_factory, type) and group.name != "extra"
}

FLAGS: Mapping[str, str] = {
    flag.name: group for group, flags in reversed(GROUPS.items()) for flag in fields(flags)
}
"""Every flag of ours, and its group. Names of `cut` that an earlier group has are that group's."""

SOURCE = frozenset(name for name, group in FLAGS.items() if group in ("model", "data"))
"""The model and the texts."""

READING = frozenset(n for n, group in FLAGS.items() if group == "measurement") - {*ESTIMATION} | {
    "keep_hidden_states"
}
"""How texts become hidden states."""

SOURCE_AND_WINDOWS = SOURCE | {
    name for name, group in FLAGS.items() if group == "question_answering"
}
"""The model, the texts and how contexts are split: what a plan from elsewhere was made for."""

# These flags change how one call behaves, not what the run computes.
NOT_SAVED = frozenset(
    {"config", "overwrite", "json", "quiet", "verbose", "debug", "resume_from_checkpoint"}
    | {"profile", "plan", "adapter"}
    | {"predictions", "na_prob_file", "answer_file", "max_new_tokens"}
    | {"uniform", "merged", "untrained", "axolotl", "peft", "export_dir", "cut_dir", "finish_steps"}
)


def flags_of(verb: str) -> tuple[str, ...]:
    """Return the names of a verb's flags, in the order of its help."""
    return tuple(_groups_by_flag(verb))


def group_of(verb: str, name: str) -> str:
    """Return the group that one of a verb's flags belongs to."""
    return _groups_by_flag(verb)[name]


def _groups_by_flag(verb: str) -> dict[str, str]:
    groups = (group for group in GROUPS if group in VERBS[verb].groups)
    return {flag.name: group for group in groups for flag in fields(GROUPS[group])}


def values_of(config: Config, verb: str) -> dict[str, Any]:
    """Return every flag of a verb with its value, flat."""
    groups = (asdict(getattr(config, group)) for group in VERBS[verb].groups)
    return {name: value for group in groups for name, value in group.items()}


def resolved(config: Config, verb: str) -> dict[str, Any]:
    """Return what the flags of a verb come to, flat, as its YAML file says it.

    >>> resolved(Config(), "report")
    {'output_dir': 'runs/agreement-all-MiniLM-L6-v2', 'seed': 42}
    """
    values = values_of(config, verb)
    chosen = {
        "model_name_or_path": config.model_name,
        "task_name": config.task_name,
        "rank_rule": config.ranks.rule,
        "precision": config.measuring(verb).precision,
    }
    values |= {name: value for name, value in chosen.items() if name in values}
    values["output_dir"] = str(config.folder)
    dropped = NOT_SAVED
    if "hidden_states" in values and config.states.hidden_states is not None:
        dropped |= READING
        if config.model.model_name_or_path is None:  # nothing says whose states they are
            dropped |= SOURCE
    kept = {k: v for k, v in values.items() if k not in dropped and v is not None}
    return kept | dict(config.extra)
