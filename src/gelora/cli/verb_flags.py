"""Flags of single verbs: where they begin from, what they export, answer, compare or verify.

As in `flags.py`, a field is a flag, a key of the YAML file, a type and a line of help.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class AnswerFlags:
    """Answers to score, or to write for a judge."""

    predictions: str | None = None
    """File of answers to score instead of a model's, as the official SQuAD evaluator takes it."""
    na_prob_file: str | None = None
    """File of how sure it is that each question has no answer, as that evaluator takes it."""
    answer_file: str | None = None
    """Where the answers to mt_bench go; None is model_answer/MODEL.jsonl in the run's folder. Or
    where those to questions of SQuAD go, if anywhere."""
    max_new_tokens: int = 1024
    """Tokens of an answer to mt_bench at most."""


@dataclass(frozen=True)
class ExportFlags:
    """What an adapter is exported to: one or more of these."""

    uniform: str | None = None
    """One rank for all modules, padded with zeros: 8, 16, 32, 64, 128, 256 or 512; without a value
    the smallest that fits."""
    merged: bool = False
    """The whole model, with the adapter merged into its weights."""
    untrained: bool = False
    """The planned adapter before training, for trainers that take a folder."""
    axolotl: bool = False
    """The plan as keys of an axolotl YAML file."""
    peft: bool = False
    """The plan as adapter_config.json alone."""
    export_dir: str | None = None
    """Folder of the exports; None is export in the output folder, which here is the run of the
    adapter or of the plan unless it is named."""


@dataclass(frozen=True)
class ProfileSource:
    """Where the dimensions come from."""

    profile: str | None = None
    """File, folder or Hub id of a dimension profile; None is the output folder's."""


@dataclass(frozen=True)
class ProfilePair:
    """Which profiles are compared: gelora compare-profiles BEFORE AFTER."""

    before: str | None = None
    """File, folder or Hub id of the first."""
    after: str | None = None
    """The same of the second."""
    by_estimator: str | None = None
    """Whose dimensions are compared, if both profiles have them; None is the first's own."""


@dataclass(frozen=True)
class PlanSource:
    """Where the ranks come from."""

    plan: str | None = None
    """File, folder or Hub id of a rank plan; None is the output folder's."""


@dataclass(frozen=True)
class AdapterSource:
    """Which adapter is evaluated."""

    adapter: str | None = None
    """Folder of an adapter; None is the output folder's."""


@dataclass(frozen=True)
class ComparisonFlags:
    """What is compared."""

    tasks: tuple[str, ...] = ("agreement",)
    """Names of tasks, or YAML files of a task's settings as gelora run takes them."""
    methods: tuple[str, ...] | None = None
    """gelora, lora-r1 and lora-r2 are always there; None is all, or gelora-paper with --vary."""
    budgets: tuple[str, ...] = ("paper",)
    """--budget for short: trainable parameters, as a number, r=2, or paper for its ranks'."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of training; the data are the same for all."""
    learning_rates: tuple[float, ...] = ()
    """To try for each method on a part of the training data; with none, the task's own is used."""
    vary: str | None = None
    """One method over a setting: rounding=up,down; target_modules=query+value,all-linear."""
    engine: Literal["local", "ray"] = "local"
    """Where runs go: to processes of this machine, or to a Ray cluster."""
    processes: int = 1
    """Runs at a time."""


@dataclass(frozen=True)
class TheoryFlags:
    """What is measured of the theory, and how far."""

    jacobian_samples: int = 4
    """Texts at which every block's Jacobians are measured, chosen by the seed."""
    jacobian_rank: int = 384
    """Singular values of a Jacobian to look for; a rank that reaches it is known to be at least
    that."""
    fisher_samples: int = 64
    """Labelled texts whose gradients make the Fisher information, chosen by the seed."""
    tolerance: float = 1e-3
    """Share of the largest singular value above which one counts towards a rank."""
