"""The settings of tasks, and of each run on them, identified by a hash.

All are frozen values that can be sent to another process, on another machine.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from gelora.artifacts import content_hash
from gelora.dimension.profile import DimensionProfile
from gelora.environment import source_sha256
from gelora.hidden_states.source import ModelSource
from gelora.lab.baselines.method import Size
from gelora.lab.comparison.results import Key, task_label
from gelora.settings import MeasurementSettings, RankSettings


@dataclass(frozen=True)
class TaskSettings:
    """A task, and the settings that all methods share on it.

    Attributes:
        name: In the comparison. Only tasks that are `varied` may share a name.
        data: As `load_task_data` takes it.
        model: The model to adapt.
        max_length: Tokens after which a text is cut.
        measurement: How dimensions are measured.
        ranks: What gets an adapter, LoRA's alpha/r, and how dimensions become whole numbers.
            Leave its rule and budget unset: each method sets its own.
        training: Arguments of the Trainer with `learning_rate`, without the seed. Nothing is
            evaluated or saved during training.
        batch_size: Texts in one forward pass of the final evaluation.
        varied: Settings that differ from the comparison's other runs, by name.
    """

    name: str
    data: Mapping[str, Any]
    model: ModelSource = field(default_factory=ModelSource)
    max_length: int = 256
    measurement: MeasurementSettings = field(default_factory=MeasurementSettings)
    ranks: RankSettings = field(default_factory=RankSettings)
    training: Mapping[str, Any] = field(default_factory=lambda: {"learning_rate": 1e-3})
    batch_size: int = 64
    varied: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def label(self) -> str:
        """The task's name, with what is varied."""
        return task_label(self.name, self.varied)

    @property
    def seed(self) -> int:
        """Seed of the data: it chooses the texts to measure, and the rows of a trial."""
        return self.data.get("seed", 0)


@dataclass(frozen=True)
class Selection:
    """A profile that ranks are planned from, and what measuring it took.

    Attributes:
        key: SHA-256 of everything that the profile was measured from.
        profile: The dimensions.
        seconds: Wall time of measuring.
    """

    key: str
    profile: DimensionProfile
    seconds: float


@dataclass(frozen=True)
class RunSpec:
    """One run: a method of a size on a task, with a seed and a learning rate.

    Attributes:
        task: With its settings.
        data_sha256: Of the task's rows.
        model_sha256: Of the model's fingerprint.
        method: Its name.
        budget: As asked for. The result depends on the size alone.
        budget_parameters: Parameters of the budget.
        size: The method's size at the budget.
        seed: Of the head, the adapter and the order of the texts.
        learning_rate: The peak.
        selection: The profile, for methods that plan from one.
        is_trial: Whether it trains on a part of the training data and is scored on the rest.
    """

    task: TaskSettings
    data_sha256: str
    model_sha256: str
    method: str
    budget: str
    budget_parameters: int
    size: Size
    seed: int
    learning_rate: float
    selection: Selection | None = None
    is_trial: bool = False

    @cached_property
    def hash(self) -> str:
        """SHA-256 of everything that decides the result."""
        task = self.task
        training = {k: v for k, v in task.training.items() if k != "learning_rate"}
        planned = (
            {} if self.selection is None else {"profile": self.selection.profile.content_hash()}
        )
        return content_hash(
            {
                **planned,
                "source": source_sha256(),
                "data": self.data_sha256,
                "model": {**asdict(task.model), "sha256": self.model_sha256},
                "max_length": task.max_length,
                "ranks": asdict(task.ranks),
                "training": training,
                "batch_size": task.batch_size,
                "method": self.method,
                "size": asdict(self.size),
                "seed": self.seed,
                "learning_rate": self.learning_rate,
                "trial_seed": task.seed if self.is_trial else None,
            }
        )

    @property
    def key(self) -> Key:
        """Identifies the line of the run in its file."""
        return self.hash, self.task.label, self.budget

    @property
    def label(self) -> str:
        """Description of the run for log messages."""
        what = "learning rate" if self.is_trial else f"seed {self.seed}, learning rate"
        return f"{self.task.label}, {self.method} at {self.budget}, {what} {self.learning_rate:g}"
