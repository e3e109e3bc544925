"""`gelora verify`: model and texts in, theory.json and the report's part on the theory out."""

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from gelora.artifacts import ADAPTER_FOLDER, REPORT_FILE, THEORY_FILE
from gelora.cli import loading, record
from gelora.cli.adapters import adapted_model
from gelora.cli.config import Config
from gelora.cli.console import Output, shows_progress
from gelora.cli.forwarding import check_training, lora_arguments, training_arguments
from gelora.cli.measure import measure
from gelora.cli.plan import plan
from gelora.cli.report import write_run_report
from gelora.dimension.profile import DimensionProfile
from gelora.errors import ConfigError
from gelora.exports.saved import WEIGHTS_NAME
from gelora.lab.pages.theory_text import theory_payload, theory_text
from gelora.lab.theory.measuring import TheoryMeasurement, without_adapter
from gelora.lab.theory.record import TheoryRecord
from gelora.lab.theory.updates import module_updates
from gelora.ranks import RankPlan
from gelora.tasks import LABEL_COLUMNS, TaskData

logger = logging.getLogger(__name__)


def main(config: Config) -> Output:
    """Measure and plan, measure the theorem's terms, and show for every block whether it holds.

    All flags are checked before anything is measured. Labels are needed for the Fisher information
    alone, which texts without them do not get.

    Raises:
        ConfigError: The flags contradict each other, or ask for quantised weights.
    """
    if config.model.load_in_4bit or config.model.load_in_8bit:
        raise ConfigError(
            "Quantised weights have no derivative to measure: verify without --load_in_4bit or "
            "--load_in_8bit, in another --output_dir than that of a run with them."
        )
    check_training(config)
    data = loading.load_data(config, labels_required=False)
    has_labels = LABEL_COLUMNS[data.problem] in data.train.column_names
    arguments = training_arguments(config) if has_labels else None
    if not has_labels:
        logger.info("%s has no labels, so its Fisher information is not measured.", data.name)
    profile = measure(config, data, verb="verify")
    planned = plan(config, profile, verb="verify")
    theory = verify(config, data, profile, planned, arguments=arguments)
    report = config.folder / REPORT_FILE
    if loading.is_main_process():
        write_run_report(config.folder)
    files = {"theory": str(config.folder / THEORY_FILE), "report": str(report)}
    return Output(
        f"{theory_text(profile, planned, theory)}\n\n{report}",
        {**theory_payload(profile, planned, theory), **files},
    )


def verify(
    config: Config,
    data: TaskData,
    profile: DimensionProfile,
    plan: RankPlan,
    *,
    arguments: TrainingArguments | None,
) -> TheoryRecord:
    """Return the run's record: the one in its folder if nothing has changed, else a new one.

    If only the trained adapter has changed, only the parts that depend on it are measured.

    Args:
        config: The flags.
        data: The texts that the profile was measured on.
        profile: The dimensions of the run.
        plan: The ranks of the run; those of the trained adapter, if there is one.
        arguments: Samples are drawn as in this training; None for data without labels.

    Raises:
        OutputExistsError: The folder holds the record of another run.
        ArtifactError: The folder's adapter cannot be read.
        RankError: The adapter has other ranks than the plan.
    """
    folder = config.folder
    inputs = _inputs(config, data, plan)
    adapter_sha256 = _adapter_sha256(folder)
    before = _finished_record(config, inputs)
    loading.wait_for_all_processes()  # all processes look before the main one writes
    if before is not None and before.adapter_sha256 == adapter_sha256:
        logger.info("%s is complete and unchanged, so it is not measured again.", THEORY_FILE)
        return before
    measurement = TheoryMeasurement(
        source=loading.model_source(config),
        data=data,
        plan=plan,
        settings=config.theory,
        arguments=arguments,
        target_modules=config.ranks.target_modules,
        max_length=config.data.max_length,
        seed=config.run.seed,
        device=loading.device(),
    )
    began = time.perf_counter()
    # An adapter that cannot be read is refused before the long measurements.
    updates = module_updates(folder / ADAPTER_FOLDER, plan) if adapter_sha256 else ()
    seconds = time.perf_counter() - began
    theory = before or measurement.before_training(
        profile,
        pooling=config.measurement.pooling,
        lora_kwargs=lora_arguments(config),
        progress=shows_progress(config.run),
    )
    theory = without_adapter(theory)
    if adapter_sha256 is not None:
        theory = replace(
            theory,
            updates=updates,
            adapter_sha256=adapter_sha256,
            seconds={**theory.seconds, "updates": seconds},
        )
        if arguments is not None:
            adapted, tokenizer = adapted_model(config, data)
            theory = measurement.with_trained_fishers(theory, adapted, tokenizer)
    _leave(config, theory, inputs)
    return theory


def _finished_record(config: Config, inputs: Mapping[str, Any]) -> TheoryRecord | None:
    """Return the record in the run's folder, if there is one and it is to stay."""
    path = config.folder / THEORY_FILE
    if config.run.overwrite or not path.exists():
        return None
    record.check_inputs(config.folder, "verify", inputs, holds=THEORY_FILE)
    return TheoryRecord.from_pretrained(path)


def _leave(config: Config, theory: TheoryRecord, inputs: Mapping[str, Any]) -> None:
    if loading.is_main_process():
        # A replaced record must not stand beside the new one's inputs.
        (config.folder / THEORY_FILE).unlink(missing_ok=True)
        record.add_stage(
            config.folder, "verify", inputs=inputs, seconds=sum(theory.seconds.values())
        )
        record.write_config(config, "verify")
        theory.save_pretrained(config.folder)
    loading.wait_for_all_processes()


def _adapter_sha256(folder: Path) -> str | None:
    """Return the SHA-256 of the trained adapter's weights, or None where there is no adapter."""
    path = folder / ADAPTER_FOLDER / WEIGHTS_NAME
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _inputs(config: Config, data: TaskData, plan: RankPlan) -> dict[str, Any]:
    return {
        **asdict(config.model),
        **asdict(config.theory),
        **lora_arguments(config),
        **(asdict(data.question_answering) if data.question_answering else {}),
        "model_name_or_path": config.model_name,
        "max_length": config.data.max_length,
        "seed": config.run.seed,
        "data_sha256": record.sha256_of(loading.columns_of(data.train)),
        "plan_sha256": plan.content_hash(),
    }
