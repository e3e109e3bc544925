"""One run of the sweep: its rows, its ranks, its training and its score. It writes nothing."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from scipy.special import expit
from transformers import TrainingArguments, set_seed

from gelora.hidden_states.source import ModelSource
from gelora.ranks import RankPlan
from gelora.ranks.plan import whole
from gelora.tasks import TaskData, labelled_validation, load_task_data
from gelora.tasks.classification.evaluation import predict
from gelora.tasks.metrics import metric_values
from gelora.tasks.train import train

RANKS = (0, 1, 2, 4, 8, 16)
OTHERS = 2
"""The rank of every block but the one that is swept; there one run serves all blocks."""

RESULTS_FILE, SWEEP_FILE = "results.jsonl", "sweep.json"
TRAINED, MORE = "trained", "more"
"""The profiles of a task: of the texts that are trained on, and of these with more."""

Key = tuple[str, str | None, int, int]


@dataclass(frozen=True)
class Task:
    """A task with all that its runs have in common.

    Attributes:
        name: As gelora knows it.
        train_file: All rows come from it.
        num_train: Rows to train on.
        training: Arguments of the Trainer.
        num_scored: Other rows, to score every run on.
        num_measured: Texts of the larger profile, those that are trained on among them.
        max_length: Tokens after which a text is cut.
        model: That is adapted.
        seed: Draws the rows.
    """

    name: str
    train_file: str
    num_train: int
    training: Mapping[str, Any]
    num_scored: int = 3000
    num_measured: int = 4000
    max_length: int = 32
    model: ModelSource = field(default_factory=ModelSource)
    seed: int = 42


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        task: With its settings.
        plan: Rank `OTHERS` in every block.
        block: The one with another rank; None where there is no such block.
        rank: That block's, or `OTHERS`.
        seed: Of the head, the adapter and the order of the rows.
    """

    task: Task
    plan: RankPlan
    block: str | None
    rank: int
    seed: int

    @property
    def key(self) -> Key:
        """Tells this run from every other."""
        return self.task.name, self.block, self.rank, self.seed


@dataclass(frozen=True)
class Line:
    """What came of a run.

    Attributes:
        task: Its name.
        block: As the run's, and so are rank and seed.
        rank: The block's.
        seed: The run's.
        metric: The task's headline metric.
        brier: The mean squared difference of class 1's probability and the label (Brier 1950).
        probabilities: Of class 1, for every scored row, in sixteenths: a hexadecimal digit each,
            8 or more where class 1 is predicted.
        parameters: Of the adapter.
        seconds: Wall time of training.
    """

    task: str
    block: str | None
    rank: int
    seed: int
    metric: float
    brier: float
    probabilities: str
    parameters: int
    seconds: float

    @property
    def key(self) -> Key:
        """Tells this line's run from every other."""
        return self.task, self.block, self.rank, self.seed


def load_parts(task: Task) -> tuple[TaskData, Dataset]:
    """Return the rows to train on and, as validation, to score on; and those to measure.

    No row that is scored is trained on or measured.
    """
    data = load_task_data(task_name=task.name, train_file=task.train_file)
    rows = concatenate_datasets([data.train, labelled_validation(data)])  # held out of the file
    order = np.random.default_rng(task.seed).permutation(len(rows)).tolist()
    scored, others = order[: task.num_scored], order[task.num_scored :]
    data = replace(
        data, train=rows.select(others[: task.num_train]), validation=rows.select(scored)
    )
    return data, rows.select(others[: task.num_measured])


def with_rank(plan: RankPlan, block: str, rank: int) -> RankPlan:
    """Return a uniform plan with another rank in one block; with rank 0 it has no adapter there."""
    at = plan.blocks.index(block)
    ranks, parameters = list(plan.ranks), list(plan.parameters)
    parameters[at] = parameters[at] // ranks[at] * rank
    ranks[at] = rank
    modules = {
        name: rank if name.startswith(f"{block}.") else usual
        for name, usual in plan.modules.items()
        if rank > 0 or not name.startswith(f"{block}.")
    }
    return replace(
        plan,
        ranks=tuple(ranks),
        rank_probabilities=tuple({one: 1.0} for one in ranks),  # they are given, by no rule
        modules=modules,
        alphas={name: whole(plan.scaling * one) for name, one in modules.items()},
        parameters=tuple(parameters),
        trainable_parameters=sum(parameters),
    )


def train_and_score(run: Run) -> Line:
    """Train once on a task of two classes, and score.

    Raises:
        GeloraError: Whatever is wrong with the settings, or the scores are not finite.
    """
    task, (data, _) = run.task, load_parts(run.task)
    plan = run.plan if run.block is None else with_rank(run.plan, run.block, run.rank)
    set_seed(run.seed)  # of the head
    model, tokenizer = task.model.load(task=data.problem, num_labels=data.num_labels)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            **task.training,
            seed=run.seed,
            output_dir=folder,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.accelerator.is_available(),
        )
        trained = train(
            model, tokenizer, data, plan, arguments=arguments, max_length=task.max_length
        )
    scored, name = labelled_validation(data), data.headline_metric
    scores = predict(trained.model, tokenizer, scored, max_length=task.max_length)
    labels = np.asarray(scored["label"])
    probabilities = expit(scores[:, 1].astype(float) - scores[:, 0])
    return Line(
        *run.key,
        metric=metric_values(scores, labels, metrics=(name,))[name],
        brier=float(((probabilities - labels) ** 2).mean()),
        probabilities="".join(f"{min(15, int(16 * one)):x}" for one in probabilities),
        parameters=trained.adapter_parameters,
        seconds=trained.seconds,
    )
