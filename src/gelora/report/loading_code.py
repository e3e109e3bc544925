"""The few lines of Python that load a trained adapter with plain PEFT and use it once.

Text only: nothing is run here. The report and the model card show the same lines.
"""

import json
from collections.abc import Mapping
from typing import Any

from gelora.tasks.known import TASKS

_CLASSES = {
    "classification": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "question_answering": "AutoModelForQuestionAnswering",
    "instruction_tuning": "AutoModelForCausalLM",
}
_USES = {
    "classification": """\
logits = model(**tokenizer({texts}, return_tensors="pt")).logits
print(model.config.id2label[logits.argmax().item()])""",
    "regression": """\
print(model(**tokenizer({texts}, return_tensors="pt")).logits.item())""",
    "question_answering": """\
inputs = tokenizer("A question?", "The text that may answer it.", return_tensors="pt")
outputs = model(**inputs)
start, end = outputs.start_logits.argmax(), outputs.end_logits.argmax()
print(tokenizer.decode(inputs["input_ids"][0, start : end + 1]))""",
    "instruction_tuning": """\
{prompt}
tokens = model.generate(**inputs, max_new_tokens=200)
print(tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))""",
}
_PROMPTS = {
    "text": 'inputs = tokenizer("The prompt, as in training.", return_tensors="pt")',
    "chat": """\
chat = [{"role": "user", "content": "What is asked for?"}]
inputs = tokenizer.apply_chat_template(
    chat, add_generation_prompt=True, return_dict=True, return_tensors="pt"
)""",
}


def loading_code(
    metrics: Mapping[str, Any],
    *,
    model: str,
    adapter: str,
    config: Mapping[str, Any],
    data: Mapping[str, Any],
) -> str:
    """Return the lines for one run.

    Args:
        metrics: Of the run: its problem, and the labels of its head.
        model: Name or path of the model without adapter.
        adapter: Folder or Hub id of the adapter.
        config: The run's flags: the model's revision, and whether it needs code of its own.
        data: Where each split came from, and whether its rows are chats or texts.
    """
    kind, problem = _CLASSES[metrics["problem"]], metrics["problem"]
    source = [_quoted(model)]
    if config.get("model_revision"):
        source.append(f"revision={_quoted(config['model_revision'])}")
    if config.get("trust_remote_code"):
        source.append("trust_remote_code=True")
    # A chat template that did not come with the model lies beside the adapter, with its tokenizer.
    tokens = [_quoted(adapter)] if config.get("chat_template_path") else source
    task = TASKS.get(metrics["task"])
    columns = config.get("text_columns") or (task.text_columns if task else ())
    form = (data.get("train") or {}).get("form") or "text"
    texts = '"A text."' if len(columns) < 2 else '"A text.", "Its pair."'
    return "\n".join([
        "from peft import PeftModel",
        f"from transformers import {kind}, AutoTokenizer",
        "",
        f"tokenizer = AutoTokenizer.from_pretrained({', '.join(tokens)})",
        _call(f"model = {kind}.from_pretrained", [*source, *_head_arguments(metrics)]),
        f"model = PeftModel.from_pretrained(model, {_quoted(adapter)})",
        "",
        _USES[problem].replace("{texts}", texts).replace("{prompt}", _PROMPTS[form]),
    ])  # fmt: skip


def _head_arguments(metrics: Mapping[str, Any]) -> list[str]:
    """Return what gives the loaded model the head that was trained."""
    if metrics["problem"] == "regression":
        return ["num_labels=1"]
    if metrics["problem"] != "classification":
        return []
    names = metrics["label_names"]
    named = [f"id2label={dict(enumerate(names))}"] if names else []
    return [f"num_labels={metrics['num_labels']}", *named]


def _quoted(text: str) -> str:
    """Return a string as Python and JSON both write it."""
    return json.dumps(text, ensure_ascii=False)


def _call(function: str, arguments: list[str]) -> str:
    """Return a call on one line, or on one for each argument where that would be long."""
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= 88:
        return line
    return "\n".join([f"{function}(", *(f"    {one}," for one in arguments), ")"])
