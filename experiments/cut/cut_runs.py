"""Train at rank 16 and cut, or train at the lower rank: what does each lose on held-out rows?

    python experiments/cut/cut_runs.py --data data --output_dir runs/cut

Every result is a line of `results.jsonl` and is on disk before the next begins, so that the same
command goes on where it was stopped. `cut_tables.py` reads the lines.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from peft import LoraConfig, PeftModel
from transformers import TrainingArguments, set_seed

from gelora.cutting.directions import Directions, find_directions
from gelora.cutting.layers import live_factors
from gelora.cutting.moments import measure_moments
from gelora.cutting.order import order_of
from gelora.cutting.validation import CutValidation
from gelora.exports.saved import Factors
from gelora.hidden_states.source import ModelSource
from gelora.likelihood import row_losses
from gelora.tasks import TaskData, load_task_data
from gelora.tasks.labelled_batches import labelled_batches
from gelora.tasks.train import make_trainer
from gelora.training.train import fit, wrap_by

TRAINED_RANK = 16
LOWER_RANKS = (8, 4, 2, 1)
MEAN_RANKS = (8, 4, 2, 1, 0.5, 0.25)
IMPORTANCES = ("weights", "inputs", "fisher")
RATES = (3e-4, 1e-3, 3e-3)
TUNING_SEED = 100
RESULTS_FILE = "results.jsonl"


@dataclass(frozen=True)
class Task:
    """A task, and how much of it is used.

    Attributes:
        name: As gelora knows it.
        num_train: Rows to train on.
        num_scored: Other rows of the training file, to score on.
        num_tuning: Other rows again, to choose learning rates by.
        max_length: Tokens after which a text is cut.
    """

    name: str
    num_train: int
    num_scored: int
    num_tuning: int
    max_length: int


TASKS = {
    "sst2": Task("sst2", num_train=2000, num_scored=1000, num_tuning=500, max_length=64),
    "mnli": Task("mnli", num_train=3000, num_scored=1000, num_tuning=500, max_length=96),
    "squad": Task("squad", num_train=2000, num_scored=400, num_tuning=200, max_length=160),
}


@dataclass(frozen=True)
class Line:
    """The held-out loss of one adapter.

    Attributes:
        task: Its name.
        seed: Of head, adapter and order of the rows.
        method: How its ranks came about: "trained" at that rank, or cut from rank 16 by "weights",
            "inputs", "fisher", "equal" or "threshold".
        mean_rank: Uniform rank with as many parameters as its budget.
        rate: Learning rate.
        parameters: Of its factors.
        loss: Mean over the scored rows.
        difference: Mean over the rows of its loss less that of rank 16 uncut; None while tuning.
        standard_error: Of the difference, over the rows.
    """

    task: str
    seed: int
    method: str
    mean_rank: float
    rate: float
    parameters: int
    loss: float
    difference: float | None = None
    standard_error: float | None = None

    @property
    def key(self) -> tuple[str, int, str, float, float | None]:
        """Tells this line from every other. Rates differ while tuning alone."""
        return self.task, self.seed, self.method, self.mean_rank, self.tuned_rate

    @property
    def tuned_rate(self) -> float | None:
        """The rate, of a run that helps to choose it."""
        return self.rate if self.seed == TUNING_SEED else None


class Lines:
    """The lines of a file, which grows by one at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        written = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.lines = [Line(**json.loads(line)) for line in written]

    def __contains__(self, key: object) -> bool:
        return any(line.key == key for line in self.lines)

    def add(self, line: Line) -> None:
        """Append a line, on disk when this returns."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(line), sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.lines.append(line)


@dataclass(frozen=True)
class Bench:
    """What all runs of a task share.

    Attributes:
        task: The task.
        data: Its rows to train on and, as validation, to score on.
        tuning: The same with the rows to tune by as validation.
        model: The model to adapt.
    """

    task: Task
    data: TaskData
    tuning: TaskData
    model: ModelSource

    def train(self, rank: int, rate: float, seed: int) -> tuple[PeftModel, Any]:
        """Train an adapter of one rank, and return the model with it, and its tokenizer."""
        set_seed(seed)
        model, tokenizer = self.model.load(
            task=self.data.problem,
            num_labels=self.data.num_labels,
            label_names=self.data.label_names,
        )
        modules = ["query", "key", "value", "attention.output.dense"]
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=modules)
        wrapped = wrap_by(model, config, self.data.problem)
        with tempfile.TemporaryDirectory() as folder:
            arguments = self.arguments(folder, learning_rate=rate, seed=seed)
            fit(
                make_trainer(
                    wrapped,
                    tokenizer,
                    replace(self.data, validation=None),
                    arguments=arguments,
                    max_length=self.task.max_length,
                )
            )
        return wrapped.eval(), tokenizer

    def arguments(self, folder: str, **more: Any) -> TrainingArguments:
        """Return the Trainer's arguments, the same for all ranks but for the rate."""
        return TrainingArguments(
            output_dir=folder,
            num_train_epochs=2,
            per_device_train_batch_size=16,
            warmup_steps=0.1,
            train_sampling_strategy="group_by_length",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.accelerator.is_available(),
            **more,
        )

    def batches(
        self, model: PeftModel, tokenizer: Any, data: TaskData, split: Any, rows: int | None = None
    ) -> list[Mapping[str, torch.Tensor]]:
        """Return the labelled batches of a split."""
        with tempfile.TemporaryDirectory() as folder:
            return list(
                labelled_batches(
                    model,
                    tokenizer,
                    data,
                    arguments=self.arguments(folder),
                    split=split,
                    max_length=self.task.max_length,
                    num_rows=rows,
                    batch_size=50,
                )
            )


def losses_of(
    model: PeftModel, batches: Sequence[Mapping[str, torch.Tensor]]
) -> Float[np.ndarray, " rows"]:
    """Return the loss of every row."""
    with torch.no_grad():
        return torch.cat([row_losses(model, batch).losses for batch in batches]).double().numpy()


def equal_ranks(factors: Mapping[str, Factors], mean_rank: float) -> dict[str, int]:
    """Return the same rank for every module."""
    return dict.fromkeys(factors, int(mean_rank))


def threshold_ranks(
    directions: Mapping[str, Directions], factors: Mapping[str, Factors], budget: int
) -> dict[str, int]:
    """Return what `peft.convert_to_lora(rank=share)` keeps, for the largest share within a budget.

    Each module keeps the fewest singular values whose squares sum to the share, and one at least.
    """

    def ranks_at(share: float) -> dict[str, int]:
        sums = {name: np.cumsum(part.values) for name, part in directions.items()}
        return {n: int(np.searchsorted(s, share * s[-1])) + 1 for n, s in sums.items()}

    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        cost = sum(factors[name].cost * rank for name, rank in ranks_at(middle).items())
        low, high = (middle, high) if cost <= budget else (low, middle)
    return ranks_at(low)


def cuts(
    bench: Bench, model: PeftModel, tokenizer: Any
) -> Iterator[tuple[str, float, Mapping[str, Directions], dict[str, int]]]:
    """Yield every way of cutting: its name, mean rank, directions and ranks."""
    factors = live_factors(model, "default")
    batches = bench.batches(model, tokenizer, bench.data, "train", rows=500)
    both = measure_moments(model, batches, gradients=True)
    of_rank_one = sum(part.cost for part in factors.values())
    for importance in IMPORTANCES:
        directions = {}
        for name, part in factors.items():
            moments = None if importance == "weights" else both[name]
            if importance == "inputs":
                moments = replace(both[name], gradients=None)
            directions[name] = find_directions(part, moments)
        order = order_of(factors, directions)
        for mean_rank in MEAN_RANKS:
            budget = int(mean_rank * of_rank_one)
            yield importance, mean_rank, directions, order.ranks(order.within_budget(budget))
            if importance == "weights" and mean_rank >= 1:
                yield "equal", mean_rank, directions, equal_ranks(factors, mean_rank)
                ranks = threshold_ranks(directions, factors, budget)
                yield "threshold", mean_rank, directions, ranks


def load(task: Task, train_file: Path, model: ModelSource) -> Bench:
    """Split a task's training file into rows to train on, to tune by and to score on."""
    loaded = load_task_data(task_name=task.name, train_file=train_file)
    order = np.random.default_rng(42).permutation(len(loaded.train)).tolist()
    ends = np.cumsum([task.num_train, task.num_scored, task.num_tuning]).tolist()
    train, scored, tuning = (
        loaded.train.select(order[start:end])
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    )
    parts = replace(loaded, train=train, validation=scored, more_validation={})
    return Bench(task, parts, replace(parts, validation=tuning), model)


def run_task(bench: Bench, lines: Lines, seeds: Sequence[int]) -> None:
    """Tune the rates of all ranks, and train, cut and score for every seed."""
    name = bench.task.name
    rates = {rank: tuned_rate(bench, lines, rank) for rank in (TRAINED_RANK, *LOWER_RANKS)}
    for seed in seeds:
        expected = [(name, seed, "trained", float(rank), None) for rank in rates]
        last = (name, seed, IMPORTANCES[-1], MEAN_RANKS[-1], None)
        if all(key in lines for key in [*expected, last]):
            continue
        model, tokenizer = bench.train(TRAINED_RANK, rates[TRAINED_RANK], seed)
        held_out = bench.batches(model, tokenizer, bench.data, "validation")
        uncut = losses_of(model, held_out)
        factors = live_factors(model, "default")
        base = {
            "task": name,
            "seed": seed,
            "rate": rates[TRAINED_RANK],
        }
        whole = sum(part.cost for part in factors.values()) * TRAINED_RANK
        if expected[0] not in lines:
            lines.add(
                Line(
                    **base,
                    method="trained",
                    mean_rank=float(TRAINED_RANK),
                    parameters=whole,
                    loss=float(uncut.mean()),
                    difference=0.0,
                    standard_error=0.0,
                )
            )
        for method, mean_rank, directions, ranks in cuts(bench, model, tokenizer):
            line = Line(**base, method=method, mean_rank=float(mean_rank), parameters=0, loss=0.0)
            if line.key in lines:
                continue
            point = CutValidation(model, held_out, directions).point(ranks)
            lines.add(replace(line, **asdict(point)))
        for rank in LOWER_RANKS:
            if (name, seed, "trained", float(rank), None) in lines:
                continue
            lower, _ = bench.train(rank, rates[rank], seed)
            losses = losses_of(lower, held_out)
            differences = losses - uncut
            lines.add(
                Line(
                    task=name,
                    seed=seed,
                    method="trained",
                    mean_rank=float(rank),
                    rate=rates[rank],
                    parameters=whole * rank // TRAINED_RANK,
                    loss=float(losses.mean()),
                    difference=float(differences.mean()),
                    standard_error=float(differences.std(ddof=1) / len(losses) ** 0.5),
                )
            )


def tuned_rate(bench: Bench, lines: Lines, rank: int) -> float:
    """Return the rate of the lowest loss on the tuning rows, which are not scored."""
    name = bench.task.name
    for rate in RATES:
        if (name, TUNING_SEED, "trained", float(rank), rate) in lines:
            continue
        model, tokenizer = bench.train(rank, rate, TUNING_SEED)
        losses = losses_of(model, bench.batches(model, tokenizer, bench.tuning, "validation"))
        parameters = sum(part.cost for part in live_factors(model, "default").values()) * rank
        lines.add(
            Line(
                name,
                TUNING_SEED,
                "trained",
                float(rank),
                rate,
                parameters,
                loss=float(losses.mean()),
            )
        )
    tried = [
        line
        for line in lines.lines
        if (line.task, line.seed, line.mean_rank) == (name, TUNING_SEED, rank)
    ]
    return min(tried, key=lambda line: line.loss).rate


def main() -> None:
    """Run what is not in the results yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of GLUE and SQuAD")
    parser.add_argument("--model", default=ModelSource().name_or_path)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    flags = parser.parse_args()
    flags.output_dir.mkdir(parents=True, exist_ok=True)
    model = ModelSource(
        flags.model,
        config_overrides="hidden_dropout_prob=0.0,attention_probs_dropout_prob=0.0",
    )
    lines = Lines(flags.output_dir / RESULTS_FILE)
    for name in flags.tasks:
        file = flags.data / name / "train.jsonl.gz"
        run_task(load(TASKS[name], file, model), lines, flags.seeds)


if __name__ == "__main__":
    main()
