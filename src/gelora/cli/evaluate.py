"""`gelora evaluate`: an adapter or a file of answers in, metrics with standard errors out."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from gelora.cli import loading
from gelora.cli.adapters import adapter_of, with_adapter
from gelora.cli.answers import check_answers, score_file, write_answers
from gelora.cli.config import Config
from gelora.cli.console import Output
from gelora.cli.record import trained_metrics
from gelora.errors import ConfigError
from gelora.report.tables import metric_table, text_table
from gelora.tasks import TaskData, labelled_validation
from gelora.tasks.evaluate import evaluate
from gelora.tasks.metrics import Metric
from gelora.tasks.question_answering.answers import null_odds_path
from gelora.tasks.question_answering.evaluation import answer_questions, metrics_of, settings_of

logger = logging.getLogger(__name__)


def main(config: Config) -> Output:
    """Evaluate an adapter or a file of answers, and show the metrics.

    Nothing is written but an answer file that was asked for.

    Raises:
        ArtifactError: There is no adapter in the folder.
        ConfigError: The adapter was trained for another problem or other labels than the data's,
            or a file of answers is named and the data hold no questions.
        OutputExistsError: There is an answer file of that name.
    """
    if config.task_name == "mt_bench":
        from gelora.cli import mt_bench

        return mt_bench.main(config)
    check_answers(config)
    loading.wait_for_all_processes()  # before one writes what another has not looked for
    if config.answers.predictions is not None:
        data = loading.load_data(config, labels_required=True, train_required=False)
        return _output(data, score_file(config, data, config.answers.predictions), of="answers")
    folder, adapter, config = adapter_of(config)
    data = loading.load_data(config, labels_required=True, train_required=False)
    _check_labels(config, folder, data)
    model, tokenizer = loading.load_with_head(config, data)
    adapted = with_adapter(model, folder, adapter, problem=data.problem, name=data.name)
    cost = {
        "batch_size": config.evaluation.per_device_eval_batch_size,
        "max_length": config.data.max_length,
    }
    logger.info("Evaluating with %s.", _lengths(config, data))
    file = config.answers.answer_file
    if file is None:
        return _output(data, evaluate(adapted, tokenizer, data, **cost))
    answers = answer_questions(adapted, tokenizer, data, **cost)
    if loading.is_main_process():
        write_answers(file, data, answers)
    metrics = metrics_of(answers, labelled_validation(data), settings_of(data))
    return _output(data, metrics, answer_file=file)


def _output(
    data: TaskData,
    metrics: Mapping[str, Metric],
    *,
    of: str = "adapter",
    answer_file: str | None = None,
) -> Output:
    values = {name: asdict(metric) for name, metric in metrics.items()}
    shown = {"problem": data.problem, "headline_metric": data.headline_metric, "baselines": {}}
    text = text_table(metric_table({**shown, "metrics": values}, own=of))
    payload = {"task": data.name, "metrics": values}
    if answer_file is not None:
        odds = str(null_odds_path(Path(answer_file)))
        text += f"\nThe answers are in {answer_file}, their null odds in {odds}."
        payload |= {"answer_file": answer_file, "null_odds_file": odds}
    return Output(text, payload)


def _lengths(config: Config, data: TaskData) -> str:
    """Return the lengths that an adapter may have been trained with differently."""
    length = f"max_length {config.data.max_length}"
    if data.question_answering is None:
        return length
    settings = data.question_answering
    version = settings.version_2_with_negative
    return f"{length}, doc_stride {settings.doc_stride}, version_2_with_negative {version}"


def _check_labels(config: Config, folder: Path, data: TaskData) -> None:
    """Check that the labels are those that the adapter was trained on, if its run is known.

    Training numbers the labels by its own texts, so other texts may number them differently.
    """
    trained = trained_metrics(config.folder)
    names = data.label_names and [*data.label_names]
    labels = {"num_labels": data.num_labels, "label_names": names}
    for name, value in labels.items():
        if name in trained and trained[name] != value:
            raise ConfigError(
                f"The adapter in {folder} was trained with {name} {trained[name]}, and {data.name} "
                f"has {value}: evaluate on the labels it was trained for."
            )
