"""Every problem runs, and its headline metric follows from the predictions that are kept."""

from dataclasses import replace

import numpy as np
import pytest
import transformers as hf

from gelora.hidden_states.source import ModelSource
from gelora.lab.comparison.runs import run_method, run_trial
from gelora.lab.comparison.settings import TaskSettings
from gelora.tasks.metrics import compute_metrics
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings
from tiny_chats import RECOMPUTING, causal_llama, chat_tokenizer, tiny_instructions
from tiny_comparison import spec_of
from tiny_models import save_tiny, tiny_bert, tiny_tokenizer
from tiny_questions import tiny_questions
from tiny_tasks import tiny_task, write_lines

METHODS = ("gelora", "eva", "adalora", "sora", "increlora", "full", "bitfit", "houlsby")
NAMES = {"text": "question", "text_pair": "context"}  # of the columns in files of questions

pytestmark = pytest.mark.filterwarnings(
    # of torch, when TRL's imports have it compile
    "ignore:`torch.jit:DeprecationWarning"
)


def settings_of(folder, task, model, tokenizer, **data) -> TaskSettings:
    save_tiny(model, tokenizer, folder / "model")
    names = NAMES if task.problem == "question_answering" else {}
    for split, rows in (("train", task.train), ("validation", task.validation)):
        columns = {names.get(name, name): rows[name] for name in rows.column_names}
        data[f"{split}_file"] = str(write_lines(folder / f"{split}.jsonl", **columns))
    return TaskSettings(
        name="tiny",
        data={**data, "seed": 3, "task_type": task.problem},
        model=ModelSource(str(folder / "model")),
        max_length=48,
        training={"learning_rate": 5e-3, "max_steps": 6, "per_device_train_batch_size": 8},
    )


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    model = tiny_bert(hf.BertForSequenceClassification, num_labels=1)
    task = tiny_task(problem="regression", num_train=80)
    return settings_of(tmp_path_factory.mktemp("numbers"), task, model, tiny_tokenizer())


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    model = tiny_bert(hf.BertForQuestionAnswering)
    folder = tmp_path_factory.mktemp("questions")
    windows = {"question_answering": QuestionAnsweringSettings(doc_stride=8)}
    return settings_of(folder, tiny_questions(num_train=80), model, tiny_tokenizer(), **windows)


@pytest.fixture(scope="module")
def instructions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("instructions")
    settings = settings_of(
        folder, tiny_instructions(num_train=80), causal_llama(), chat_tokenizer()
    )
    training = {**settings.training, "bf16": False, "gradient_checkpointing": False}
    return replace(settings, training={**training, RECOMPUTING: False})


def test_numbers(regression):
    spec = spec_of(regression, "eva")
    row, predictions = run_method(spec)
    numbers = np.array(predictions.values["number"])
    labels = np.array(tiny_task(problem="regression", num_train=80).validation["label"])
    found = compute_metrics(numbers, labels, metrics=("pearson",))
    assert row.headline_metric == "pearson"
    assert row.value == pytest.approx(found["pearson"].value)
    assert run_trial(replace(spec, is_trial=True)).metric == "pearson"


def test_questions(questions):
    spec = spec_of(questions, "eva")
    row, predictions = run_method(spec)
    assert row.headline_metric == "f1"
    assert row.value == pytest.approx(100 * np.mean(predictions.values["f1"]))
    exact = 100 * np.mean(predictions.values["exact_match"])
    assert row.metrics["exact_match"]["value"] == pytest.approx(exact)
    assert row.forward_tokens > 0
    assert run_trial(replace(spec, is_trial=True)).value is not None


def test_instructions(instructions):
    spec = spec_of(instructions, "eva")
    row, predictions = run_method(spec)
    loss, tokens = (np.array(predictions.values[name]) for name in ("loss", "tokens"))
    assert row.headline_metric == "perplexity"
    assert row.value == pytest.approx(np.exp(loss.sum() / tokens.sum()))
    assert row.parameters["head"] == 0  # it came with the model, and stays
    assert run_trial(replace(spec, is_trial=True)).value is not None


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["regression", "questions", "instructions"])
@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_method_on_every_problem(method, problem, request):
    if (method, problem) == ("bitfit", "instructions"):
        pytest.skip("a Llama has no biases")
    row, _ = run_method(spec_of(request.getfixturevalue(problem), method))
    assert np.isfinite(row.value)
