"""`gelora verify`: model and texts in, theory.json and the report's part on the theory out."""

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedTokenizerBase, TrainingArguments, set_seed

from gelora.artifacts import ADAPTER_FOLDER, REPORT_FILE, THEORY_FILE
from gelora.cli import loading, record
from gelora.cli.adapters import adapter_of, with_adapter
from gelora.cli.config import Config
from gelora.cli.console import Output, shows_progress
from gelora.cli.forwarding import check_training, lora_arguments, training_arguments
from gelora.cli.measure import measure
from gelora.cli.plan import plan
from gelora.cli.report import write_run_report
from gelora.cli.theory_text import theory_payload, theory_text
from gelora.dimension.profile import DimensionProfile
from gelora.errors import ConfigError
from gelora.exports.saved import WEIGHTS_NAME
from gelora.lab.theory.fisher import block_fishers
from gelora.lab.theory.jacobian import block_jacobians
from gelora.lab.theory.record import BlockFisher, ModuleUpdate, Stage, TheoryRecord
from gelora.lab.theory.samples import sample_batches
from gelora.lab.theory.updates import module_updates
from gelora.ranks import RankPlan
from gelora.tasks import LABEL_COLUMNS, TaskData, texts_of
from gelora.training.train import wrap

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

    Where only the trained adapter has changed, only what rests on it is measured.

    Args:
        config: The flags.
        data: The texts that the profile was measured on.
        profile: Of the run.
        plan: Of the run; the trained adapter's, if there is one.
        arguments: By which samples are drawn as in training; None where they have no labels.

    Raises:
        OutputExistsError: The folder holds the record of another run.
        ArtifactError: The folder's adapter cannot be read.
        RankError: It has other ranks than the plan.
    """
    folder = config.folder
    inputs = _inputs(config, data, plan)
    adapter_sha256 = _adapter_sha256(folder)
    found = _finished_record(config, inputs)
    loading.wait_for_all_processes()  # before one writes what another has not looked at
    if found is not None and found.adapter_sha256 == adapter_sha256:
        logger.info("%s is complete and unchanged, so it is not measured again.", THEORY_FILE)
        return found
    began = time.perf_counter()
    updates = module_updates(folder / ADAPTER_FOLDER, plan) if adapter_sha256 else ()
    seconds = time.perf_counter() - began
    theory = found or _before_training(config, data, profile, plan, arguments=arguments)
    theory = _as_before_training(theory)
    if adapter_sha256 is not None:
        theory = _after_training(config, data, theory, updates, arguments=arguments)
        spent = {**theory.seconds, "updates": seconds}
        theory = replace(theory, adapter_sha256=adapter_sha256, seconds=spent)
    _leave(config, theory, inputs)
    return theory


def _before_training(
    config: Config,
    data: TaskData,
    profile: DimensionProfile,
    plan: RankPlan,
    *,
    arguments: TrainingArguments | None,
) -> TheoryRecord:
    flags = config.theory
    logger.info("Measuring the Jacobians of every block at %d texts.", flags.jacobian_samples)
    began = time.perf_counter()
    model, tokenizer = loading.load_backbone(config)
    jacobians = block_jacobians(
        model,
        tokenizer,
        texts_of(data.train),
        target_modules=config.target_modules,
        pooling=config.measurement.pooling,
        num_samples=flags.jacobian_samples,
        max_rank=flags.jacobian_rank,
        max_length=config.data.max_length,
        tolerance=flags.tolerance,
        seed=config.run.seed,
        progress=shows_progress(config.run),
    )
    del model
    seconds = {"jacobians": time.perf_counter() - began}
    fishers: tuple[BlockFisher, ...] = ()
    if arguments is not None:
        began = time.perf_counter()
        with_head, tokenizer = loading.load_with_head(config, data)
        set_seed(config.run.seed)  # of A's initial values, as in training
        adapted = wrap(with_head, plan, data.problem, **lora_arguments(config))
        fishers = _fishers(config, data, adapted, tokenizer, stage="before", arguments=arguments)
        seconds["fisher"] = time.perf_counter() - began
    return TheoryRecord(
        tolerance=flags.tolerance,
        seed=config.run.seed,
        jacobians=jacobians,
        fishers=fishers,
        updates=(),
        fingerprint=profile.fingerprint,
        profile_hash=profile.content_hash(),
        adapter_sha256=None,
        seconds=seconds,
    )


def _as_before_training(theory: TheoryRecord) -> TheoryRecord:
    """Return a record without what rests on an adapter."""
    fishers = tuple(one for one in theory.fishers if one.stage == "before")
    return replace(theory, fishers=fishers, updates=(), adapter_sha256=None)


def _after_training(
    config: Config,
    data: TaskData,
    theory: TheoryRecord,
    updates: tuple[ModuleUpdate, ...],
    *,
    arguments: TrainingArguments | None,
) -> TheoryRecord:
    """Return a record with what rests on the trained adapter."""
    if arguments is None:
        return replace(theory, updates=updates)
    began = time.perf_counter()
    folder, adapter, config = adapter_of(config)
    model, tokenizer = loading.load_with_head(config, data)
    adapted = with_adapter(model, folder, adapter, problem=data.problem, name=data.name)
    fishers = _fishers(config, data, adapted, tokenizer, stage="after", arguments=arguments)
    spent = theory.seconds.get("fisher", 0.0) + time.perf_counter() - began
    return replace(
        theory,
        fishers=theory.fishers + fishers,
        updates=updates,
        seconds={**theory.seconds, "fisher": spent},
    )


def _fishers(
    config: Config,
    data: TaskData,
    adapted: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    stage: Stage,
    arguments: TrainingArguments,
) -> tuple[BlockFisher, ...]:
    logger.info("Measuring the Fisher information %s training.", stage)
    batches = list(
        sample_batches(
            adapted,
            tokenizer,
            data,
            arguments=arguments,
            max_length=config.data.max_length,
            num_samples=config.theory.fisher_samples,
            seed=config.run.seed,
        )
    )
    modules = config.target_modules
    return (
        *block_fishers(adapted, batches, of="weights", stage=stage, target_modules=modules),
        *block_fishers(adapted, batches, of="lora", stage=stage, target_modules=modules),
    )


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
