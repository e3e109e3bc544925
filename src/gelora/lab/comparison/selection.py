"""The rank selection of a task, and the size of every method at every budget there.

Measured once for a task and its settings, in a process of its own; the methods share what it took.
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
from gelora.lab.baselines.method import Setting, Size
from gelora.lab.baselines.registry import find_method
from gelora.lab.baselines.uniform import adapted_modules, rank_parameters
from gelora.lab.comparison.checks import PAPERS_BUDGET
from gelora.lab.comparison.results import Reference
from gelora.lab.comparison.scoring import reference
from gelora.lab.comparison.settings import Selection, TaskSettings
from gelora.ranks import RankPlan, plan_ranks
from gelora.ranks.rules import paper_rule
from gelora.settings import read_budget
from gelora.tasks import TaskData, labelled_validation, load_task_data, texts_of

_SELECTION_FILE = "selection.json"


@dataclass(frozen=True)
class Request:
    """What is to be found out of a task.

    Attributes:
        task: With its settings.
        methods: To be sized.
        budgets: Each "paper", "r=2" or a number.
        known: Selections of earlier calls, by key.
    """

    task: TaskSettings
    methods: tuple[str, ...]
    budgets: tuple[str, ...]
    known: Mapping[str, Selection] = field(default_factory=dict[str, Selection])


@dataclass(frozen=True)
class Prepared:
    """What is known of a task before anything is trained.

    Attributes:
        selection: Where ranks come from.
        data_sha256: Of the task's rows, and how they are read.
        model_sha256: Of what tells the model's weights.
        reference: What predictions are scored by.
        budgets: Parameters of every budget.
        sizes: By method and budget; the message where a method has no size there.
        warnings: That reading and measuring gave: rows left out, dimensions not to be trusted.
    """

    selection: Selection
    data_sha256: str
    model_sha256: str
    reference: Reference
    budgets: Mapping[str, int]
    sizes: Mapping[tuple[str, str], Size | str]
    warnings: tuple[str, ...]


def prepare(request: Request) -> Prepared:
    """Measure a task's dimensions, unless they are known, and size the methods.

    Raises:
        GeloraError: Whatever is wrong with the data, the model or the settings.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", GeloraWarning)
        prepared = _prepare(request)
    ours = [str(one.message) for one in said if issubclass(one.category, GeloraWarning)]
    return replace(prepared, warnings=tuple(ours))


def _prepare(request: Request) -> Prepared:
    task = request.task
    data = load_task_data(**task.data)
    data_sha256 = _sha256_of_data(data, is_known=task.data.get("task_name") is not None)
    model, tokenizer = task.model.load(task=None)
    measured_from = {
        "texts": content_hash({"rows": list(texts_of(data.train))}),
        "model": {**asdict(task.model), "fingerprint": model_fingerprint(model)},
        "max_length": task.max_length,
        "measurement": dict(task.measurement),
    }
    key = content_hash(measured_from)
    selection = request.known.get(key)
    if selection is None:
        began = time.perf_counter()
        profile = measure_dimensions(
            model,
            tokenizer,
            texts_of(data.train),
            ranks=paper_rule,
            max_length=task.max_length,
            target_modules=task.target_modules,
            **task.measurement,
        )
        selection = Selection(key, profile, time.perf_counter() - began)
    model = _with_head(task, data)
    papers = _papers_plan(task, selection.profile).trainable_parameters
    setting = setting_of(task, data, selection)
    budgets = {name: _parameters(name, papers, model, setting) for name in request.budgets}
    return Prepared(
        selection=selection,
        data_sha256=data_sha256,
        model_sha256=content_hash(selection.profile.fingerprint),
        reference=reference(data, sha256=data_sha256),
        budgets=budgets,
        sizes={
            (method, name): _sized(method, model, budget, setting)
            for name, budget in budgets.items()
            for method in request.methods
        },
        warnings=(),
    )


def setting_of(task: TaskSettings, data: TaskData, selection: Selection | None) -> Setting:
    """Return what a method may know of a task before the training's own settings are there."""
    return Setting(
        problem=data.problem,
        target_modules=task.target_modules,
        rounding=task.rounding,
        scaling=task.scaling,
        profile=None if selection is None else selection.profile,
    )


def save_selection(folder: Path, selection: Selection) -> None:
    """Keep a profile in a folder of its own, named by its key."""
    place = folder / selection.key[:16]
    selection.profile.save_pretrained(place)
    payload = {"key": selection.key, "seconds": selection.seconds}
    write_json(place / _SELECTION_FILE, payload, kind="selection")


def read_selections(folder: Path) -> dict[str, Selection]:
    """Return the selections that a folder keeps, by key."""
    found: dict[str, Selection] = {}
    for path in sorted(folder.glob(f"*/{_SELECTION_FILE}")):
        payload = read_json(path, kind="selection")
        profile = DimensionProfile.from_pretrained(path.parent)
        found[payload["key"]] = Selection(payload["key"], profile, payload["seconds"])
    return found


def _with_head(task: TaskSettings, data: TaskData) -> PreTrainedModel:
    set_seed(0)
    model, _ = task.model.load(
        device=torch.device("cpu"),
        task=data.problem,
        num_labels=data.num_labels,
        label_names=data.label_names,
    )
    return model


def _papers_plan(task: TaskSettings, profile: DimensionProfile) -> RankPlan:
    return plan_ranks(profile, rounding=task.rounding, target_modules=task.target_modules)


def _parameters(name: str, papers: int, model: PreTrainedModel, setting: Setting) -> int:
    """Return what a budget comes to for a model."""
    if name == PAPERS_BUDGET:
        return papers
    number, is_rank = read_budget(name)
    return rank_parameters(adapted_modules(model, setting), number) if is_rank else number


def _sized(name: str, model: PreTrainedModel, budget: int, setting: Setting) -> Size | str:
    try:
        return find_method(name).size(model, budget, setting)
    except GeloraError as error:
        return f"{type(error).__name__}: {error}"


def _sha256_of_data(data: TaskData, *, is_known: bool) -> str:
    """Return the SHA-256 of the rows and of how they are read and scored.

    A known task has its own metrics; the same rows under no task's name have others.
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
