"""What a model's head is: PEFT's name for its task, and the modules that are trained whole.

A model's class says both by its name. A new head has random values and is trained whole; a
language model's head comes with its checkpoint and stays frozen, as BERT's own pooler does.
"""

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from peft import TaskType
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_MAPPING

from gelora.errors import FrozenHeadWarning, RankError
from gelora.hidden_states.architectures import find_architecture
from gelora.hidden_states.module_tree import without_wrapper
from gelora.problems import Problem

# The end of a class's name: PEFT's task type, and whether the head is new. None takes PEFT's
# general class, which passes all inputs on: that of questions (0.21) drops token types, so that
# BERT could not tell question from context.
_KINDS: Mapping[str, tuple[TaskType | None, bool]] = {
    "ForSequenceClassification": (TaskType.SEQ_CLS, True),
    "ForTokenClassification": (TaskType.TOKEN_CLS, True),
    "Classification": (None, True),
    "ForQuestionAnswering": (None, True),
    "ForQuestionAnsweringSimple": (None, True),
    "ForMultipleChoice": (None, True),
    "ForCausalLM": (TaskType.CAUSAL_LM, False),
    "LMHeadModel": (TaskType.CAUSAL_LM, False),
    "ForConditionalGeneration": (TaskType.CAUSAL_LM, False),
    "ForMaskedLM": (None, False),
    "ForPreTraining": (None, False),
}

TASK_TYPES: Mapping[Problem, TaskType | None] = {
    "classification": _KINDS["ForSequenceClassification"][0],
    "regression": _KINDS["ForSequenceClassification"][0],
    "question_answering": _KINDS["ForQuestionAnswering"][0],
    "instruction_tuning": _KINDS["ForCausalLM"][0],
}

# PEFT adds modules of these names to `modules_to_save` for these tasks.
_PEFT_HEADS = ("classifier", "score")
_PEFT_HEAD_TASKS = (TaskType.SEQ_CLS, TaskType.TOKEN_CLS)


@dataclass(frozen=True)
class Head:
    """A model's head.

    Attributes:
        task_type: PEFT's name for the task; None for PEFT's general class.
        modules: Paths of the modules beside the backbone that have parameters.
        is_new: Whether the head is to be trained whole; None where the class does not tell.
        is_apart: Whether the modules are known to be none of the backbone's.
    """

    task_type: TaskType | None
    modules: tuple[str, ...]
    is_new: bool | None
    is_apart: bool = True


def find_head(model: nn.Module) -> Head:
    """Return what a model's class says of its head.

    Args:
        model: With or without a head. Without one, `modules` is empty and `is_new` is False.
    """
    bare = without_wrapper(model)
    names, is_apart = _beside_backbone(bare)
    modules = tuple(names)
    kind = _kind(type(bare))
    if kind is None:
        return Head(None, modules, None if modules else False, is_apart)
    task_type, is_new = kind
    if is_new and not (modules and is_apart):
        is_new = None
    return Head(_usable(task_type, bare), modules, is_new, is_apart)


def head_modules(model: nn.Module) -> list[str]:
    """Return the modules beside the backbone that have parameters: the head, often with a pooler.

    BERT's own pooler is inside the backbone, comes with the checkpoint and stays frozen.
    """
    return list(find_head(model).modules)


def new_head(model: PreTrainedModel, problem: Problem) -> list[str]:
    """Return the head's modules, or none where the head came with the model, as a language model's.

    What is new has to be trained whole.

    Warns:
        FrozenHeadWarning: The head cannot be told from the backbone.
    """
    if problem == "instruction_tuning":
        return []
    head = find_head(model)
    if not head.is_apart or not (head.modules or head.is_new is False):
        _warn(_unknown(model, head))
        return []
    return list(head.modules)


def head_arguments(model: nn.Module, lora_arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `task_type` and `modules_to_save` that LoraConfig needs for a model's head.

    Args:
        model: Not yet wrapped.
        lora_arguments: The user's arguments of LoraConfig, which are kept as they are.

    Raises:
        RankError: PEFT cannot tell the head from a module of the backbone, or the model has no
            module that `modules_to_save` names.

    Warns:
        FrozenHeadWarning: The class does not tell whether the head is new, or the user's
            `modules_to_save` leave out a part of a new head.
    """
    head = find_head(model)
    task_type = lora_arguments.get("task_type", head.task_type)
    saved = lora_arguments.get("modules_to_save")
    for name in {*(saved or ())} - {*_PEFT_HEADS}:
        if not any(path.endswith(name) for path, _ in model.named_modules()):
            raise RankError(
                f"modules_to_save names {name!r}, and no module of {type(model).__name__} ends in "
                "that: leave it out, or name one that there is."
            )
    if saved is None:
        saved = sorted(head.modules) if head.is_new else None
        _check_endings(model, saved or ())
        if head.is_new is None:
            _warn(_unknown(model, head))
    elif head.is_new and len(saved):
        names = (*saved, *(_PEFT_HEADS if task_type in _PEFT_HEAD_TASKS else ()))
        frozen = [path for path in head.modules if not path.endswith(names)]
        if frozen:
            _warn(
                f"modules_to_save={list(saved)} leaves out {', '.join(frozen)} of the new head of "
                f"{type(model).__name__}, which stays frozen: add it to modules_to_save."
            )
    return {"task_type": task_type, "modules_to_save": saved}


def _check_endings(model: nn.Module, names: Collection[str]) -> None:
    """Refuse a head that PEFT, which compares endings of paths, would find in the backbone, too."""
    for path, _ in model.named_modules():
        head = next((name for name in names if path.endswith(name)), None)
        if head is not None and path.partition(".")[0] not in names:
            raise RankError(
                f"PEFT would train {path} whole, too, since its path ends in {head!r} as the "
                f"head's does: rename {head!r} in {type(model).__name__}, or pass modules_to_save."
            )


def _warn(message: str) -> None:
    warnings.warn(message, FrozenHeadWarning, stacklevel=4)  # where lora_config is called


def _unknown(model: nn.Module, head: Head) -> str:
    kind = type(model).__name__
    if not head.modules:
        return (
            f"{kind} keeps its new head inside the backbone, where gelora cannot tell it from the "
            "rest: pass the names of its modules as modules_to_save, or the head stays frozen."
        )
    return (
        f"gelora cannot tell from the class {kind} whether {', '.join(head.modules)} beside the "
        "backbone has trained values, so all of it stays frozen. Pass the names of what is new as "
        "modules_to_save, or modules_to_save=[] if all of it came with the checkpoint."
    )


def _kind(model_class: type) -> tuple[TaskType | None, bool] | None:
    """Return what the longest known ending says of a class or of the first of its parents."""
    for parent in model_class.__mro__:
        endings = [ending for ending in _KINDS if parent.__name__.endswith(ending)]
        if endings:
            return _KINDS[max(endings, key=len)]
    return None


def _usable(task_type: TaskType | None, model: nn.Module) -> TaskType | None:
    """Return the task type if PEFT's class for it can pass the model's inputs on.

    These classes are for models that read tokens; those that write need `generate`.
    """
    if not isinstance(model, PreTrainedModel) or model.main_input_name != "input_ids":
        return None
    if task_type != TaskType.CAUSAL_LM:
        return task_type
    if not model.can_generate():
        return None
    return TaskType.SEQ_2_SEQ_LM if model.config.is_encoder_decoder else TaskType.CAUSAL_LM


def _beside_backbone(model: nn.Module) -> tuple[list[str], bool]:
    """Return the modules with parameters that are not the backbone's, and if that is certain."""
    if isinstance(model, PreTrainedModel):
        if model.base_model is not model:
            return _siblings(model, _path_of(model.base_model, inside=model)), True
        if type(model).__name__.endswith(("Encoder", "Decoder")):
            return [], True  # a part of a model, such as WhisperModel.get_encoder()
        base_class: Any = MODEL_MAPPING.get(type(model.config), None)
        if base_class is not None and type(model).__module__.startswith("transformers."):
            # T5ForQuestionAnswering has the backbone's parts as its own.
            return [] if isinstance(model, base_class) else _added_children(model), True
        if type(model).__name__.endswith("Model"):
            return [], True
    block = find_architecture(model).blocks[0]
    paths = [f"{path}." for path, module in model.named_modules() if _is_whole(module) and path]
    backbone = next((path for path in paths if f"{block}.".startswith(path)), None)
    if backbone is None:  # only the blocks are known: an embedding may be beside them
        return _siblings(model, block.rpartition(".")[0]), False
    return _siblings(model, backbone.rstrip(".")), True


def _is_whole(module: nn.Module) -> bool:
    return isinstance(module, PreTrainedModel)


def _added_children(model: PreTrainedModel) -> list[str]:
    """Return the children that the model without a head does not have."""
    with torch.device("meta"):
        backbone = AutoModel.from_config(model.config)
    known = dict(backbone.named_children()).keys()
    return [name for name in _with_parameters(model) if name not in known]


def _siblings(model: nn.Module, path: str) -> list[str]:
    """Return the outermost modules with parameters that neither hold the path nor lie below it."""
    siblings: list[str] = []
    parent, prefix = model, ""
    for part in path.split("."):
        siblings += [f"{prefix}{name}" for name in _with_parameters(parent) if name != part]
        parent, prefix = parent.get_submodule(part), f"{prefix}{part}."
    return siblings


def _with_parameters(module: nn.Module) -> list[str]:
    return [
        name for name, child in module.named_children() if any(True for _ in child.parameters())
    ]


def _path_of(module: nn.Module, *, inside: nn.Module) -> str:
    return next(path for path, child in inside.named_modules() if child is module)
