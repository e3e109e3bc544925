"""`gelora evaluate`: an adapter or a file of answers in, metrics with standard errors out."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from peft import PeftConfig, PeftModel, TaskType
from transformers import PreTrainedModel

from gelora.artifacts import ADAPTER_FOLDER, ENVIRONMENT_FILE, METRICS_FILE, read_json
from gelora.cli import loading
from gelora.cli.config import Config
from gelora.cli.console import Output
from gelora.cli.tables import metrics_table
from gelora.data import TaskData
from gelora.errors import ArtifactError, ConfigError
from gelora.evaluation import evaluate, labelled_validation
from gelora.evaluation.question_answering import answer_questions, metrics_of, settings_of
from gelora.metrics import Metric
from gelora.question_answering.predictions import (
    read_null_odds,
    read_predictions,
    write_predictions,
)
from gelora.question_answering.scoring import answer_metrics
from gelora.training.wrapping import TASK_TYPES


def main(config: Config) -> Output:
    """Evaluate an adapter or a file of answers, and show the metrics.

    Nothing is written but an answer file that was asked for.

    Raises:
        ArtifactError: There is no adapter in the folder.
        ConfigError: The adapter was trained for another problem or other labels than the data's,
            or a file of answers is named and the data hold no questions.
    """
    if config.task_name == "mt_bench":
        from gelora.cli import mt_bench

        return mt_bench.main(config)
    _check_flags(config)
    if config.answers.predictions is not None:
        return _score_file(config, config.answers.predictions)
    source = config.adapter_source.adapter
    folder = config.folder / ADAPTER_FOLDER if source is None else Path(source)
    if not (folder / "adapter_config.json").is_file():
        raise ArtifactError(f"{folder} holds no adapter: there is no adapter_config.json in it.")
    adapter = PeftConfig.from_pretrained(str(folder))
    if config.model.model_name_or_path is None:
        named = adapter.base_model_name_or_path
        config = replace(config, model=replace(config.model, model_name_or_path=named))
    data = loading.load_data(config, labels_required=True, train_required=False)
    _check_labels(folder, data)
    model, tokenizer = loading.load_with_head(config, data)
    _check_problem(folder, adapter, model, data)
    adapted = _adapted(model, folder, data)
    cost = {
        "batch_size": config.evaluation.per_device_eval_batch_size,
        "max_length": config.data.max_length,
    }
    if config.answers.answer_file is None:
        return _output(data, evaluate(adapted, tokenizer, data, **cost))
    answers = answer_questions(adapted, tokenizer, data, **cost)
    if loading.is_main_process():
        questions = labelled_validation(data)
        write_predictions(Path(config.answers.answer_file), questions["id"], answers)
    return _output(data, metrics_of(answers, labelled_validation(data), settings_of(data)))


def _output(data: TaskData, metrics: Mapping[str, Metric], *, of: str = "adapter") -> Output:
    payload = {name: asdict(metric) for name, metric in metrics.items()}
    return Output(metrics_table(payload, {}, of=of), {"task": data.name, "metrics": payload})


def _check_flags(config: Config) -> None:
    """Refuse flags that are about answers where there are none, or that contradict each other."""
    flags, problem = config.answers, config.problem or "classification"
    named = config.task_name or "the data"
    given = {"predictions": flags.predictions, "answer_file": flags.answer_file}
    for name, file in given.items():
        if file is not None and problem != "question_answering":
            raise ConfigError(
                f"--{name} {file} is for answers to questions, and {named} is a {problem}: add "
                "--task squad or --task squad_v2."
            )
    if flags.predictions is None and flags.na_prob_file is not None:
        raise ConfigError(
            f"--na_prob_file {flags.na_prob_file} belongs to a file of answers: name that as "
            "--predictions."
        )
    model = {"answer_file": flags.answer_file, "adapter": config.adapter_source.adapter}
    for name, value in model.items():
        if flags.predictions is not None and value is not None:
            raise ConfigError(
                f"--predictions {flags.predictions} holds the answers, so --{name} {value} is not "
                "used: leave out one of the two."
            )


def _score_file(config: Config, file: str) -> Output:
    """Score the answers in a file, without a model."""
    data = loading.load_data(config, labels_required=True, train_required=False)
    questions, odds_file = labelled_validation(data), config.answers.na_prob_file
    version_2 = bool(settings_of(data).version_2_with_negative)
    if odds_file is not None and not version_2:
        raise ConfigError(
            f"--na_prob_file {odds_file} is about questions without an answer, and {data.name} has "
            "none: leave it out, or add --version_2_with_negative true."
        )
    metrics = answer_metrics(
        read_predictions(file, questions["id"]),
        [gold["text"] for gold in questions["answers"]],
        version_2=version_2,
        null_odds=None if odds_file is None else read_null_odds(odds_file, questions["id"]),
    )
    return _output(data, metrics, of="answers")


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


def _check_problem(
    folder: Path, adapter: PeftConfig, model: PreTrainedModel, data: TaskData
) -> None:
    """Compare the head that the adapter was trained under with that which the data need."""
    trained = adapter.task_type or (adapter.auto_mapping or {}).get("base_model_class")
    head, kind = type(model).__name__, TASK_TYPES[data.problem] or TaskType.QUESTION_ANS
    if trained not in (None, head, kind):
        raise ConfigError(
            f"The adapter in {folder} was trained for {trained}, and {data.name}, a "
            f"{data.problem}, needs {head}: evaluate on data like it was trained on."
        )


def _adapted(model: PreTrainedModel, folder: Path, data: TaskData) -> PeftModel:
    try:
        return PeftModel.from_pretrained(model, str(folder)).to(loading.device())
    except RuntimeError as error:  # of torch, where tensors have other shapes than the model's
        raise ConfigError(
            f"The adapter in {folder} fits no {model.config.model_type} model with num_labels "
            f"{data.num_labels}, as {data.name} has: name the model and the data of its training."
        ) from error
