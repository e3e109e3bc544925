"""The few lines of Python that load a trained adapter with plain PEFT and use it once."""

import json
from collections.abc import Mapping
from typing import Any

from gelora.report.templating import template
from gelora.tasks.known import TASKS

_CLASSES = {
    "classification": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "question_answering": "AutoModelForQuestionAnswering",
    "instruction_tuning": "AutoModelForCausalLM",
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
        metrics: What `metrics.json` holds: the problem, and the labels of the head.
        model: Name or path of the model without adapter.
        adapter: Folder or Hub id of the adapter.
        config: The run's flags: the model's revision, and whether it needs code of its own.
        data: Origin of each split, and whether its rows are chats or texts.
    """
    source = [_quoted(model)]
    if config.get("model_revision"):
        source.append(f"revision={_quoted(config['model_revision'])}")
    if config.get("trust_remote_code"):
        source.append("trust_remote_code=True")
    # A chat template that did not come with the model lies beside the adapter, with its tokenizer.
    tokenizer = [_quoted(adapter)] if config.get("chat_template_path") else source
    task = TASKS.get(metrics["task"])
    columns = config.get("text_columns") or (task.text_columns if task else ())
    kind = _CLASSES[metrics["problem"]]
    return template("loading.py.jinja").render(
        kind=kind,
        problem=metrics["problem"],
        tokenizer=f"AutoTokenizer.from_pretrained({', '.join(tokenizer)})",
        model=_call(f"{kind}.from_pretrained", [*source, *_head_arguments(metrics)]),
        adapter=_quoted(adapter),
        form=(data.get("train") or {}).get("form") or "text",
        is_pair=len(columns) > 1,
    )


def _head_arguments(metrics: Mapping[str, Any]) -> list[str]:
    """Return the arguments that give the loaded model the head that was trained."""
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
    """Return a call on one line, or with a line for each argument where that is too long."""
    line = f"{function}({', '.join(arguments)})"
    if len(f"model = {line}") <= 88:
        return line
    return "\n".join([f"{function}(", *(f"    {argument}," for argument in arguments), ")"])
