"""Train on RTE from both models, at the ranks that each asks for and at the other's.

    python experiments/intermediate-tuning/train.py --processes 2

From the root of the repository, after the other commands of the README. A run that is done is not
done again. Each model's learning rate is chosen on a part of the training texts, at its own ranks;
the validation texts only score what was trained.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

from gelora.artifacts import content_hash
from gelora.cli.compare import task_settings
from gelora.cli.parsing import parse
from gelora.dimension.profile import DimensionProfile
from gelora.lab.baselines.method import Size
from gelora.lab.comparison.engines import run_locally
from gelora.lab.comparison.grid import run_all
from gelora.lab.comparison.results import Reference, Results, read_results
from gelora.lab.comparison.runs import run_method, run_trial
from gelora.lab.comparison.scoring import reference
from gelora.lab.comparison.search import best_rate
from gelora.lab.comparison.settings import RunSpec, Selection, TaskSettings
from gelora.lab.comparison.store import Store
from gelora.ranks import RankPlan, plan_ranks
from gelora.tasks import load_task_data

HERE = Path(__file__).parent
RUNS = Path("runs/intermediate-tuning")
TASK = "rte"
MODELS = ("before", "after")
BUDGETS: Mapping[str, str | None] = {"gelora-paper": None, "gelora": "r=8"}
"""By the method that spends it: the paper's rule, and a budget shared out by growth."""
LEARNING_RATES = (3e-4, 1e-3, 3e-3)
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Arm:
    """A model, and the model that its ranks are of."""

    method: str
    model: str
    ranks_of: str


@dataclass(frozen=True)
class Experiment:
    """What is trained.

    Attributes:
        tasks: The target task from each model.
        profiles: Of each model, on the texts of the task.
        rates: Learning rates to choose from.
        seeds: Of heads, adapters and the order of texts.
    """

    tasks: Mapping[str, TaskSettings]
    profiles: Mapping[str, DimensionProfile]
    rates: Sequence[float] = LEARNING_RATES
    seeds: Sequence[int] = SEEDS

    @cached_property
    def reference(self) -> Reference:
        """What the predictions are scored by."""
        data = load_task_data(**self.tasks["before"].data)
        return reference(data, sha256=content_hash(dict(data.provenance)))

    def plan(self, arm: Arm) -> RankPlan:
        """Return the ranks of an arm.

        A plan belongs to the model that was measured; here it is given to the other on purpose.
        """
        task = self.tasks[arm.model]
        return plan_ranks(self._profile(arm), task.ranks, budget=BUDGETS[arm.method])

    def spec(self, arm: Arm, seed: int, rate: float, *, is_trial: bool = False) -> RunSpec:
        """Return one run."""
        task, plan = self.tasks[arm.model], self.plan(arm)
        return RunSpec(
            task=replace(task, varied={"model": arm.model, "ranks_of": arm.ranks_of}),
            data_sha256=self.reference.sha256,
            model_sha256=content_hash(self.profiles[arm.model].fingerprint),
            method=arm.method,
            budget=BUDGETS[arm.method] or "paper",
            budget_parameters=plan.trainable_parameters,
            size=Size(plan.budget or 0, plan.trainable_parameters),
            seed=seed,
            learning_rate=rate,
            selection=Selection("", self._profile(arm), 0.0),
            is_trial=is_trial,
        )

    def arms(self) -> Iterator[Arm]:
        """Yield every arm, the other's ranks only where they differ from the model's own."""
        for method, model, ranks_of in product(BUDGETS, MODELS, MODELS):
            own = Arm(method, model, model)
            arm = Arm(method, model, ranks_of)
            if arm == own or self.plan(arm).ranks != self.plan(own).ranks:
                yield arm

    def _profile(self, arm: Arm) -> DimensionProfile:
        own = self.profiles[arm.model]
        return replace(self.profiles[arm.ranks_of], fingerprint=own.fingerprint)


def run_experiment(experiment: Experiment, folder: Path, run: Callable[..., Any]) -> Results:
    """Choose the learning rates, train all arms, and return what is there.

    Args:
        experiment: What is trained.
        folder: For the lines.
        run: As `run_locally`, its processes given.
    """
    with Store(folder) as store:
        trials = {
            model: [
                experiment.spec(
                    Arm("gelora", model, model), experiment.seeds[0], rate, is_trial=True
                )
                for rate in experiment.rates
            ]
            for model in MODELS
        }
        run_all(store, run, run_trial, [spec for specs in trials.values() for spec in specs])
        rates = {
            model: best_rate([trial for spec in specs if (trial := store.trial(spec))])
            for model, specs in trials.items()
        }
        specs = [
            experiment.spec(arm, seed, rate)
            for arm in experiment.arms()
            if (rate := rates[arm.model]) is not None
            for seed in experiment.seeds
        ]
        store.keep_references({TASK: experiment.reference})
        tried = [spec for one in trials.values() for spec in one]
        store.keep_asked({"learning_rates": rates}, rows=specs, trials=tried)
        run_all(store, run, run_method, specs)
    return read_results(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=1, help="runs at a time")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="one run each")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("gelora").setLevel(logging.INFO)
    folder = RUNS / "rte"
    config = ["--config", str(HERE / "rte.yaml"), "--output_dir", str(folder)]
    merged = ["--model_name_or_path", str(RUNS / "mnli/export/merged")]
    experiment = Experiment(
        tasks={
            "before": task_settings(TASK, parse("run", config)),
            "after": task_settings(TASK, parse("run", [*config, *merged])),
        },
        profiles={model: DimensionProfile.from_pretrained(RUNS / model) for model in MODELS},
        seeds=options.seeds,
    )
    results = run_experiment(experiment, folder, partial(run_locally, processes=options.processes))
    if results.failures:
        sys.exit(f"{len(results.failures)} runs failed, the first: {results.failures[0].error}")


if __name__ == "__main__":
    main()
