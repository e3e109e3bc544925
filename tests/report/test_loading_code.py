"""The code that loads an adapter runs without gelora, and gives what the trained model gave."""

import ast

import pytest
from peft import LoraConfig, get_peft_model
from transformers import (
    BertForQuestionAnswering,
    BertForSequenceClassification,
    LlamaForCausalLM,
    set_seed,
)

from gelora.hidden_states.task_head import TASK_TYPES
from gelora.report.loading_code import loading_code
from tiny_models import tiny_bert, tiny_llama, tiny_tokenizer

MODELS = {
    "classification": lambda: tiny_bert(BertForSequenceClassification, num_labels=3),
    "regression": lambda: tiny_bert(BertForSequenceClassification, num_labels=1),
    "question_answering": lambda: tiny_bert(BertForQuestionAnswering),
    "instruction_tuning": lambda: tiny_llama(LlamaForCausalLM),
}


def metrics_of(problem, **changes):
    numbers = {"classification": 3, "regression": 1}.get(problem, 0)
    return {
        "task": "mine", "problem": problem, "num_labels": numbers, "label_names": None, **changes
    }  # fmt: skip


@pytest.mark.parametrize("problem", MODELS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_code_runs_as_it_stands(problem, tmp_path, capsys):
    model = MODELS[problem]()
    model.save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    set_seed(0)
    lora = LoraConfig(task_type=TASK_TYPES[problem], init_lora_weights=False)
    adapted = get_peft_model(MODELS[problem](), lora)
    adapted.save_pretrained(str(tmp_path / "adapter"))
    names = ["bad", "fair", "good"] if problem == "classification" else None
    code = loading_code(
        metrics_of(problem, label_names=names),
        model=str(tmp_path / "model"),
        adapter=str(tmp_path / "adapter"),
        config={},
        data={},
    )
    assert "gelora" not in code.replace(str(tmp_path), "")
    names = {}
    exec(code, names)
    printed = capsys.readouterr().out
    theirs = names["model"].eval().state_dict()
    for name, ours in adapted.state_dict().items():
        if "lora" in name or "classifier" in name or "qa_outputs" in name:
            assert theirs[name].equal(ours), name
    if problem == "classification":
        assert printed.strip() in {"bad", "fair", "good"}


def keywords(code):
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    (model,) = [
        call for call in calls
        if isinstance(call.func, ast.Attribute) and "AutoModel" in ast.unparse(call.func)
    ]  # fmt: skip
    return {word.arg: ast.literal_eval(word.value) for word in model.keywords}


@pytest.mark.parametrize(
    ("problem", "changes", "config", "arguments"),
    [
        ("classification", {}, {}, {"num_labels": 3}),
        (
            "classification",
            {"label_names": ["yes", "it's <no>", "maybe"]},
            {},
            {"num_labels": 3, "id2label": {0: "yes", 1: "it's <no>", 2: "maybe"}},
        ),
        ("regression", {}, {"model_revision": "v2"}, {"num_labels": 1, "revision": "v2"}),
        ("question_answering", {}, {"trust_remote_code": True}, {"trust_remote_code": True}),
        ("instruction_tuning", {}, {"trust_remote_code": False}, {}),
    ],
)
def test_the_code_makes_the_model_that_was_trained(problem, changes, config, arguments):
    code = loading_code(
        metrics_of(problem, **changes), model="a/b", adapter="c/d", config=config, data={}
    )
    assert keywords(code) == arguments


@pytest.mark.parametrize(
    ("task", "config", "is_pair"),
    [
        ("rte", {}, True),
        ("mine", {"text_columns": ["a", "b"]}, True),
        ("mine", {"text_columns": ["a"]}, False),
        ("cola", {}, False),
    ],
)
def test_pairs_are_shown_as_pairs(task, config, is_pair):
    code = loading_code(
        metrics_of("classification", task=task), model="a/b", adapter="c/d", config=config, data={}
    )
    assert ('tokenizer("A text.", "Its pair."' in code) == is_pair
    assert max(map(len, code.splitlines())) <= 100


@pytest.mark.parametrize(("form", "is_chat"), [("chat", True), ("text", False)])
def test_a_model_tuned_on_chats_is_asked_by_a_chat(form, is_chat):
    metrics = metrics_of("instruction_tuning")
    data = {"train": {"form": form}}
    code = loading_code(metrics, model="a/b", adapter="c/d", config={}, data=data)
    compile(code, "code", "exec")
    assert ("apply_chat_template" in code) == is_chat
    assert ('tokenizer("The prompt' in code) != is_chat
