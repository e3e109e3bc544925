"""`gelora evaluate`: an adapter and labelled texts in, metrics with standard errors out."""

from dataclasses import asdict, replace
from pathlib import Path

from peft import PeftConfig, PeftModel
from transformers import PreTrainedModel

from gelora.artifacts import ADAPTER_FOLDER, ENVIRONMENT_FILE, METRICS_FILE, read_json
from gelora.cli import loading
from gelora.cli.config import Config
from gelora.cli.console import Output
from gelora.cli.tables import metrics_table
from gelora.data import TaskData
from gelora.errors import ArtifactError, ConfigError
from gelora.evaluation import evaluate


def main(config: Config) -> Output:
    """Evaluate an adapter, and show its metrics; nothing is written.

    Raises:
        ArtifactError: There is no adapter in the folder.
        ConfigError: The adapter was trained for other labels than the data's.
    """
    source = config.adapter_source.adapter
    folder = config.folder / ADAPTER_FOLDER if source is None else Path(source)
    if not (folder / "adapter_config.json").is_file():
        raise ArtifactError(f"{folder} holds no adapter: there is no adapter_config.json in it.")
    if config.model.model_name_or_path is None:
        named = PeftConfig.from_pretrained(str(folder)).base_model_name_or_path
        config = replace(config, model=replace(config.model, model_name_or_path=named))
    data = loading.load_data(config, labels_required=True, train_required=False)
    _check_labels(folder, data)
    model, tokenizer = loading.load_with_head(config, data)
    metrics = evaluate(
        _adapted(model, folder, data),
        tokenizer,
        data,
        batch_size=config.evaluation.per_device_eval_batch_size,
        max_length=config.data.max_length,
    )
    payload = {name: asdict(metric) for name, metric in metrics.items()}
    return Output(metrics_table(payload, {}), {"task": data.name, "metrics": payload})


def _check_labels(folder: Path, data: TaskData) -> None:
    """Compare the data's labels with those of the run that the adapter lies in, if it lies in one.

    The labels' numbers are those of the training texts, so other texts may number them otherwise.
    """
    path = folder.parent / METRICS_FILE
    is_ours = path.is_file() and (folder.parent / ENVIRONMENT_FILE).is_file()
    trained = read_json(path, kind="metrics") if is_ours else {}
    found = {"num_labels": data.num_labels, "label_names": data.label_names and [*data.label_names]}
    for name, value in found.items():
        if name in trained and trained[name] != value:
            raise ConfigError(
                f"The adapter in {folder} was trained with {name} {trained[name]}, and {data.name} "
                f"has {value}: evaluate on the labels it was trained for."
            )


def _adapted(model: PreTrainedModel, folder: Path, data: TaskData) -> PeftModel:
    try:
        return PeftModel.from_pretrained(model, str(folder)).to(loading.device())
    except RuntimeError as error:  # of torch, where tensors have other shapes than the model's
        raise ConfigError(
            f"The adapter in {folder} fits no {model.config.model_type} model with num_labels "
            f"{data.num_labels}, as {data.name} has: name the model and the data of its training."
        ) from error
