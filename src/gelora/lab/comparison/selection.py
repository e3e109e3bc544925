"""Measure a task's dimensions once, and size every method at every budget from them.

This runs in a process of its own. All methods share the measurement and report its cost.
"""

import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from transformers import PreTrainedModel, set_seed

from gelora.artifacts import content_hash, read_json, write_json
from gelora.dimension.profile import DimensionProfile
from gelora.errors import GeloraError, GeloraWarning
from gelora.hidden_states import measure_dimensions
from gelora.hidden_states.architectures import model_fingerprint
from gelora.lab.baselines import find_method
from gelora.lab.baselines.method import Setting, Size
from gelora.lab.baselines.uniform import adapted_modules, rank_parameters
from gelora.lab.comparison.checks import PAPERS_BUDGET
from gelora.lab.comparison.results import Reference
from gelora.lab.comparison.scoring import reference
from gelora.lab.comparison.settings import Selection, TaskSettings
from gelora.ranks import plan_ranks
from gelora.ranks.rules import paper_rule
from gelora.settings import read_budget
from gelora.tasks import TaskData, labelled_validation, load_task_data, texts_of

_SELECTION_FILE = "selection.json"


@dataclass(frozen=True)
class Request:
    """What to measure and size for a task.

    Attributes:
        task: The task with its settings.
        methods: Methods to size.
        budgets: Each "paper", "r=2" or a number.
        known: Selections of earlier calls, by key.
    """

    task: TaskSettings
    methods: tuple[str, ...]
    budgets: tuple[str, ...]
    known: Mapping[str, Selection] = field(default_factory=dict[str, Selection])


@dataclass(frozen=True)
class MeasuredTask:
    """A task whose dimensions are measured and whose methods are sized.

    Attributes:
        selection: The profile that ranks are planned from.
        data_sha256: Of the task's rows, and of how they are read.
        model_sha256: Of the model's fingerprint.
        reference: What predictions are scored by.
        budgets: Parameters of every budget.
        sizes: By method and budget; an error message where a method has no size at a budget.
        warnings: Of reading and measuring, such as rows left out or doubtful dimensions.
    """

    selection: Selection
    data_sha256: str
    model_sha256: str
    reference: Reference
    budgets: Mapping[str, int]
    sizes: Mapping[tuple[str, str], Size | str]
    warnings: tuple[str, ...]


def measure_task(request: Request) -> MeasuredTask:
    """Measure a task's dimensions, unless they are known, and size the methods.

    Raises:
        GeloraError: The data, the model or the settings are wrong.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GeloraWarning)
        measured = _measure_and_size(request)
    ours = [str(w.message) for w in caught if issubclass(w.category, GeloraWarning)]
    return replace(measured, warnings=tuple(ours))


def _measure_and_size(request: Request) -> MeasuredTask:
    task = request.task
    data = load_task_data(**task.data)
    data_sha256 = _sha256_of_data(data, is_known=task.data.get("task_name") is not None)
    selection = _selection(task, data, request.known)
    set_seed(0)
    model, _ = task.model.load(
        device=torch.device("cpu"),
        task=data.problem,
        num_labels=data.num_labels,
        label_names=data.label_names,
    )
    setting = setting_of(task, data, selection)
    budgets = {name: _parameters(name, model, setting) for name in request.budgets}
    return MeasuredTask(
        selection=selection,
        data_sha256=data_sha256,
        model_sha256=content_hash(selection.profile.fingerprint),
        reference=reference(data, sha256=data_sha256),
        budgets=budgets,
        sizes={
            (method, name): _size(method, model, budget, setting)
            for name, budget in budgets.items()
            for method in request.methods
        },
        warnings=(),
    )


def _selection(task: TaskSettings, data: TaskData, known: Mapping[str, Selection]) -> Selection:
    model, tokenizer = task.model.load(task=None)
    key = content_hash(
        {
            "texts": content_hash({"rows": list(texts_of(data.train))}),
            "model": {**asdict(task.model), "fingerprint": model_fingerprint(model)},
            "max_length": task.max_length,
            "measurement": {**asdict(task.measurement), "seed": task.seed},
        }
    )
    if key in known:
        return known[key]
    began = time.perf_counter()
    profile = measure_dimensions(
        model,
        tokenizer,
        texts_of(data.train),
        task.measurement,
        ranks=paper_rule,
        max_length=task.max_length,
        target_modules=task.ranks.target_modules,
        seed=task.seed,
    )
    return Selection(key, profile, time.perf_counter() - began)


def setting_of(task: TaskSettings, data: TaskData, selection: Selection | None) -> Setting:
    """Return what a method may know of a task before the training's own settings are known."""
    return Setting(
        problem=data.problem,
        ranks=task.ranks,
        profile=None if selection is None else selection.profile,
    )


def save_selection(folder: Path, selection: Selection) -> None:
    """Keep a profile in a folder of its own, named by its key."""
    own = folder / selection.key[:16]
    selection.profile.save_pretrained(own)
    payload = {"key": selection.key, "seconds": selection.seconds}
    write_json(own / _SELECTION_FILE, payload, kind="selection")


def read_selections(folder: Path) -> dict[str, Selection]:
    """Return the selections that a folder keeps, by key."""
    selections: dict[str, Selection] = {}
    for path in sorted(folder.glob(f"*/{_SELECTION_FILE}")):
        payload = read_json(path, kind="selection")
        profile = DimensionProfile.from_pretrained(path.parent)
        selections[payload["key"]] = Selection(payload["key"], profile, payload["seconds"])
    return selections


def _parameters(budget: str, model: PreTrainedModel, setting: Setting) -> int:
    """Return the number of parameters of a budget for a model."""
    if budget == PAPERS_BUDGET:
        assert setting.profile is not None
        return plan_ranks(setting.profile, setting.ranks).trainable_parameters
    number, is_rank = read_budget(budget)
    return rank_parameters(adapted_modules(model, setting), number) if is_rank else number


def _size(method: str, model: PreTrainedModel, budget: int, setting: Setting) -> Size | str:
    try:
        return find_method(method).size(model, budget, setting)
    except GeloraError as error:
        return f"{type(error).__name__}: {error}"


def _sha256_of_data(data: TaskData, *, is_known: bool) -> str:
    """Return the SHA-256 of the rows and of how they are read and scored.

    The metrics of a known task follow from its name, those of other data do not.
    """
    splits = [data.train, labelled_validation(data), *data.more_validation.values()]
    settings = data.question_answering
    metrics = {} if is_known else {"metrics": list(data.metrics)}
    return content_hash(
        {
            **metrics,
            "splits": [split.to_dict() for split in splits],
            "question_answering": settings and asdict(settings),
        }
    )
