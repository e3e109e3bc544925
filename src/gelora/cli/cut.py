"""`gelora cut`: a trained adapter in, a smaller one out, with what it costs on validation rows."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel
from torch import Tensor
from transformers import TrainingArguments

from gelora.artifacts import CUT_FOLDER, REPORT_FILE
from gelora.cli import loading
from gelora.cli.adapters import adapter_of, with_adapter
from gelora.cli.config import Config
from gelora.cli.console import Output
from gelora.cli.forwarding import training_arguments
from gelora.cli.report import write_run_report
from gelora.cutting.cut import cut
from gelora.cutting.record import AdapterCut
from gelora.cutting.validation import measure_rows, paired_point
from gelora.errors import ConfigError
from gelora.exports.folders import check_folder
from gelora.exports.saved import CONFIG_NAME
from gelora.ranks import RankPlan
from gelora.report.cut_card import write_cut_card
from gelora.report.cut_section import block_rows, cut_decision
from gelora.report.tables import text_table
from gelora.tasks import TaskData
from gelora.tasks.finish import finish_training
from gelora.tasks.labelled_batches import labelled_batches

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """A task with the model and the adapter before the cut.

    Attributes:
        data: The task's rows.
        arguments: How it is trained.
        model: The model with the uncut adapter.
        batches: Training rows to value directions on; None where their weights do that.
        validation: Validation rows.
    """

    data: TaskData
    arguments: TrainingArguments
    model: PeftModel
    batches: list[dict[str, Tensor]] | None
    validation: list[dict[str, Tensor]] | None


def main(config: Config) -> Output:
    """Cut the adapter, and show what was kept of every block and what it costs.

    Raises:
        ArtifactError: There is no adapter in the folder.
        ConfigError: Nothing or too much says how far to cut, or data are needed and none are named.
        OutputExistsError: The folder of the cut adapter holds something.
        RankError: The adapter cannot be cut, or not to that size.
    """
    folder, adapter, config = adapter_of(config)
    destination = Path(config.cutting.cut_dir or config.folder / CUT_FOLDER)
    overwrite = config.run.overwrite
    check_folder(destination, holds=CONFIG_NAME, overwrite=overwrite, source=folder)
    plan = config.plan_source.plan
    measured = _measured(config, folder, adapter) if config.names_data else None
    if measured is None:
        _check_needs_no_data(config)
        logger.info("No data are named, so no loss is measured.")
    record = cut(
        folder,
        destination,
        config.cut,
        plan=None if plan is None else RankPlan.from_pretrained(plan),
        model=measured and measured.model,
        batches=measured and measured.batches,
        validation=measured and measured.validation,
        overwrite=overwrite,
    )
    if measured is not None and config.cutting.finish_steps:
        record = _finish(config, measured, record, destination)
    write_cut_card(destination, folder, model=str(adapter.base_model_name_or_path))
    if (config.folder / REPORT_FILE).is_file():
        write_run_report(config.folder)
    text = "\n".join([text_table(block_rows(record)), cut_decision(record), str(destination)])
    return Output(text, {"adapter": str(destination), **record.to_dict()})


def _measured(config: Config, folder: Path, adapter: PeftConfig) -> Measured:
    """Load the model with the adapter, rows to value directions on, and validation rows."""
    data = loading.load_data(config, labels_required=True)
    arguments = training_arguments(config)
    model, tokenizer = loading.load_with_head(config, data)
    adapted = with_adapter(model, folder, adapter, problem=data.problem, name=data.name)

    def batches(**split: Any) -> list[dict[str, Tensor]]:
        return list(
            labelled_batches(
                adapted,
                tokenizer,
                data,
                arguments=arguments,
                max_length=config.data.max_length,
                batch_size=config.evaluation.per_device_eval_batch_size,
                seed=config.run.seed,
                **split,
            )
        )

    return Measured(
        data=data,
        arguments=arguments,
        model=adapted,
        batches=None
        if config.cut.importance == "weights"
        else batches(split="train", num_rows=config.cut.num_cut_samples),
        validation=batches(split="validation") if data.validation else None,
    )


def _finish(
    config: Config, measured: Measured, record: AdapterCut, destination: Path
) -> AdapterCut:
    """Train the cut adapter further, and return the record with its loss after that."""
    steps = config.cutting.finish_steps
    logger.info("Training the cut adapter for %d steps.", steps)
    model, tokenizer = loading.load_with_head(config, measured.data)
    finished = finish_training(
        model,
        tokenizer,
        measured.data,
        destination,
        arguments=measured.arguments,
        steps=steps,
        max_length=config.data.max_length,
    )
    point = None
    if measured.validation is not None:
        uncut = measure_rows(measured.model, measured.validation)
        losses = measure_rows(finished, measured.validation)
        point = paired_point(record.parameters, losses, uncut)
    record = replace(record, finish_steps=steps, finished=point)
    record.save_pretrained(destination)
    return record


def _check_needs_no_data(config: Config) -> None:
    settings = config.cut
    flags = {
        "--importance": settings.importance != "weights",
        "--tolerance": settings.tolerance is not None,
        "--finish_steps": config.cutting.finish_steps > 0,
    }
    for flag, is_given in flags.items():
        if is_given:
            raise ConfigError(
                f"{flag} needs texts, and none are named: add --train_file, --dataset_name or "
                "--task_name, or name a run's folder by --output_dir."
            )
