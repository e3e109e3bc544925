"""The recipes of configs/paper: counted, parsed, checked as a run does, and run on tiny models."""

import re
from pathlib import Path

import pytest
import yaml
from transformers import DebertaV2Config
from transformers.utils.logging import disable_progress_bar

from gelora.artifacts import METRICS_FILE, read_json
from gelora.cli import main
from gelora.cli.checks import check_flags
from gelora.cli.forwarding import check_training, training_arguments
from gelora.cli.parsing import parse
from gelora.hidden_states.overrides import override
from gelora.tasks.known import TASKS
from tiny_models import save_tiny, tiny_bert, tiny_deberta, tiny_texts, tiny_tokenizer
from tiny_tasks import write_lines

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "configs/paper").rglob("*.yaml"))
MODELS = {
    "deberta-v3-base": "microsoft/deberta-v3-base",
    "all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2",
}
TOKENS = 512  # as the models that the recipes are for

# AdaLoRA (arXiv 2303.10512): learning rate, epochs, tokens, warm-up, weight decay, classifier's
# dropout. Where the learning rate of its table 8 and of its script differ, the table's.
ADALORA = {
    "cola": (5e-4, 25, 64, 100, 0.0, 0.1),
    "sst2": (8e-4, 24, 128, 1000, 0.01, 0.0),
    "mrpc": (1e-3, 30, 320, 0.1, 0.01, 0.0),
    "qqp": (5e-4, 5, 320, 2000, 0.01, 0.15),
    "stsb": (2.2e-3, 25, 128, 100, 0.1, 0.2),
    "mnli": (5e-4, 7, 256, 1000, 0.0, 0.15),
    "qnli": (1.2e-3, 5, 512, 500, 0.01, 0.1),
    "rte": (1.2e-3, 50, 320, 200, 0.01, 0.2),
    "wnli": (1.2e-3, 50, 320, 200, 0.01, 0.2),  # RTE's
    "squad": (1e-3, 10, 384, 1000, 0.0, None),
    "squad_v2": (1e-3, 12, 384, 1000, 0.0, None),
}
WHOLE = {"cola": 8551, "mrpc": 3668, "stsb": 5749, "rte": 2490, "wnli": 635}
"""Training rows of the tasks that are not cut."""

every_recipe = pytest.mark.parametrize(
    "path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}"
)


def parsed(path, *flags):
    return parse("run", ["--config", str(path), *flags])


def test_there_is_one_for_every_task_and_each_of_both_models():
    assert len(RECIPES) == 22
    tasks = {
        name
        for name, task in TASKS.items()
        if task.dataset and task.problem != "instruction_tuning"
    }
    assert tasks == ADALORA.keys()
    assert {(path.parent.name, path.stem) for path in RECIPES} == {
        (model, task) for model in MODELS for task in tasks
    }


@every_recipe
def test_it_opens_with_its_command_and_gives_the_source_of_every_value(path):
    first, *lines = path.read_text().splitlines()
    assert first == f"# gelora run --config {path.relative_to(ROOT)}"
    values = [line for line in lines if not line.startswith("#")]
    assert [line.partition(":")[0] for line in values[:3]] == [
        *("model_name_or_path", "task_name", "output_dir")
    ]
    assert all(re.search(r"\S  +# \S", line) for line in values[3:])
    assert all(len(line) <= 100 for line in (first, *lines))


@every_recipe
def test_it_is_taken_as_a_run_takes_it(path, tmp_path):
    config = parsed(path, "--use_cpu")
    assert config.model_name == MODELS[path.parent.name]
    assert config.task_name == path.stem
    assert config.run.output_dir == f"runs/paper/{path.parent.name}/{path.stem}"
    assert config.ranks.target_modules == ("attention",)
    assert set(config.extra) <= {"weight_decay", "train_sampling_strategy", "use_cpu"}
    check_flags("run", parsed(path, "--output_dir", str(tmp_path)))
    check_training(config)
    arguments = training_arguments(config)
    assert arguments.learning_rate == config.training.learning_rate
    assert arguments.num_train_epochs == config.training.num_train_epochs


@pytest.mark.parametrize("task", ADALORA)
def test_the_recipes_of_deberta_are_adalora_s(task):
    path = ROOT / f"configs/paper/deberta-v3-base/{task}.yaml"
    config = parsed(path, "--use_cpu")
    arguments = training_arguments(config)
    settings = DebertaV2Config(cls_dropout=None)
    if config.model.config_overrides:
        override(settings, config.model.config_overrides)
    assert (
        arguments.learning_rate,
        arguments.num_train_epochs,
        config.data.max_length,
        arguments.warmup_steps,
        arguments.weight_decay,
        settings.cls_dropout,
    ) == ADALORA[task]
    assert arguments.per_device_train_batch_size == (16 if "squad" in task else 32)
    assert config.question_answering.doc_stride == 128
    assert (config.data.max_train_samples, config.data.max_eval_samples) == (None, None)


@pytest.mark.parametrize("task", ADALORA)
def test_the_recipes_of_minilm_are_cut_from_adalora_s(task):
    config = parsed(ROOT / f"configs/paper/all-MiniLM-L6-v2/{task}.yaml")
    _, epochs, tokens, *_ = ADALORA[task]
    assert config.training.num_train_epochs < epochs
    assert config.data.max_length <= tokens
    steps = (
        (config.data.max_train_samples or WHOLE[task])
        * config.training.num_train_epochs
        / config.training.per_device_train_batch_size
    )
    assert steps <= 3000


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Save a tiny model of each family, for sequences as long as the recipes'."""
    disable_progress_bar()
    folder = tmp_path_factory.mktemp("models")
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = TOKENS
    build = {"deberta-v3-base": tiny_deberta, "all-MiniLM-L6-v2": tiny_bert}
    return {
        name: save_tiny(model(max_position_embeddings=TOKENS), tokenizer, folder / name)
        for name, model in build.items()
    }


def rows_of(task, number):
    """Return rows in the task's own columns."""
    texts = tiny_texts(2 * number, seed=number)
    columns = {name: texts[i::2] for i, name in enumerate(task.text_columns)}
    if task.problem == "question_answering":
        contexts = columns["context"]
        answers = [
            {"text": [text.split()[1]], "answer_start": [len(text.split()[0]) + 1]}
            for text in contexts
        ]
        if task.name == "squad_v2":
            answers[::3] = [{"text": [], "answer_start": []}] * len(answers[::3])
        return {"id": [f"{number}-{row}" for row in range(number)], **columns, "answers": answers}
    if task.problem == "regression":
        return {**columns, "label": [row % 11 / 2 for row in range(number)]}
    return {**columns, "label": [row % task.num_labels for row in range(number)]}


@pytest.fixture
def run(models, tmp_path):
    """Return a function that runs a recipe on a tiny model and rows, for two steps."""

    def call(path):
        task = TASKS[path.stem]
        train = write_lines(tmp_path / "train.jsonl", **rows_of(task, 64))
        validation = write_lines(tmp_path / "validation.jsonl", **rows_of(task, 12))
        further = ["--validation_mismatched_file", str(validation)] if task.name == "mnli" else []
        assert main([
            *("run", "--config", str(path), "--model_name_or_path", str(models[path.parent.name])),
            *("--train_file", str(train), "--validation_file", str(validation), *further),
            *("--output_dir", str(tmp_path / "out"), "--max_steps", "2", "--use_cpu", "--quiet"),
            *("--per_device_train_batch_size", "4", "--eval_strategy", "no"),
        ]) == 0  # fmt: skip
        return tmp_path / "out"

    return call


def check_run(out, path):
    task = TASKS[path.stem]
    metrics = read_json(out / METRICS_FILE, kind="metrics")
    assert metrics["task"] == task.name
    assert set(task.metrics) <= metrics["metrics"].keys()
    if task.name == "mnli":
        assert metrics["metrics"].keys() == {"accuracy", "accuracy_mismatched"}
    assert (out / "report.html").is_file()
    saved = yaml.safe_load((out / "config.yaml").read_text())
    assert saved["max_length"] == yaml.safe_load(path.read_text())["max_length"]


@pytest.mark.filterwarnings("ignore::gelora.errors.GeloraWarning")
@pytest.mark.parametrize("name", ["deberta-v3-base/mnli", "all-MiniLM-L6-v2/squad_v2"])
def test_two_of_them_run(run, name):
    path = ROOT / f"configs/paper/{name}.yaml"
    check_run(run(path), path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::gelora.errors.GeloraWarning")
@every_recipe
def test_every_one_runs(run, path):
    check_run(run(path), path)
