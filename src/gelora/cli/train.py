"""`gelora train`: model, texts and rank_plan.json in, adapter/ and metrics.json out."""

import logging
import re
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from gelora.artifacts import (
    ADAPTER_FOLDER,
    METRICS_FILE,
    PLAN_FILE,
    PROFILE_FILE,
    REPORT_FILE,
    THEORY_FILE,
    locate,
    read_json,
    write_json,
)
from gelora.cli import loading, record
from gelora.cli.callbacks import callbacks_of, profile_of
from gelora.cli.config import SOURCE, Config
from gelora.cli.console import Output, warn_if_busy
from gelora.cli.forwarding import (
    PUSHING,
    checked_inputs,
    for_the_trainer,
    lora_arguments,
)
from gelora.cli.plan import adopt_plan, adopt_profile
from gelora.cli.tables import metrics_text
from gelora.dimension.profile import DimensionProfile
from gelora.errors import ArtifactError, DataError, OutputExistsError
from gelora.hidden_states.architectures import check_fingerprint
from gelora.hub import push_folder
from gelora.ranks import RankPlan
from gelora.report.card import has_card, write_card
from gelora.tasks import TaskData, texts_of
from gelora.tasks.baselines import after_training, before_training
from gelora.tasks.evaluate import evaluate
from gelora.tasks.metrics import Metric
from gelora.tasks.train import train as train_adapter
from gelora.training import TrainingResult

logger = logging.getLogger(__name__)

Metrics = dict[str, Metric]


def main(config: Config) -> Output:
    """Train, and show the metrics beside those of the baselines."""
    arguments, data = checked_inputs(config)
    plan = _plan_of(config)
    metrics = train(config, data, plan, arguments=arguments, verb="train")
    return Output(metrics_text(metrics), metrics)


def train(
    config: Config,
    data: TaskData,
    plan: RankPlan,
    *,
    arguments: TrainingArguments,
    verb: str,
    with_encoder_baseline: bool = False,
) -> dict[str, Any]:
    """Train and evaluate, unless that is done, push if asked, and return what metrics.json holds.

    Processes that were launched together train and evaluate together, and the main one writes.

    Raises:
        ArtifactError: The adapter cannot be pushed.
        OutputExistsError: The folder holds other training, or unfinished training and nothing
            says whether to go on with it.
    """
    folder = config.folder
    _check_texts(config, data, plan)
    inputs = _inputs(config, data, plan)
    is_finished = not config.run.overwrite and _is_finished(config, inputs)
    loading.wait_for_all_processes()  # before one writes what another has not looked at
    if is_finished:
        logger.info("%s is complete and unchanged, so it is not trained again.", folder)
        payload = read_json(folder / METRICS_FILE, kind="metrics")
        if loading.is_main_process() and not has_card(folder):  # a kill came between the two
            write_card(folder)
    else:
        payload = _train(
            config,
            data,
            plan,
            arguments=arguments,
            verb=verb,
            inputs=inputs,
            with_encoder_baseline=with_encoder_baseline,
        )
    if arguments.push_to_hub and loading.is_main_process():
        _push(config, arguments)
    return payload


def _for_experts(arguments: TrainingArguments, plan: RankPlan) -> TrainingArguments:
    """Let DDP allow steps in which some experts get no tokens, and so no gradient."""
    if arguments.world_size > 1 and any(
        re.search(r"experts\.\d+\.", name) for name in plan.modules
    ):
        logger.info("Some experts may get no tokens in a step, so DDP looks for unused parameters.")
        arguments.ddp_find_unused_parameters = True
    return arguments


def _check_texts(config: Config, data: TaskData, plan: RankPlan) -> None:
    """Compare the texts with those that the plan's dimensions were measured on.

    Raises:
        DataError: They differ, and no flag asks for others.
    """
    measured = plan.data.get("texts_sha256")
    if measured is None or measured == record.sha256_of(texts_of(data.train)):
        return
    named = record.recorded_data(config.folder) or plan.data.get("name", "others")
    difference = f"The plan was made for the texts of {named}, and the texts at hand are others"
    if (config.named & (SOURCE | {"seed"})) or config.run.config is not None:
        logger.warning("Warning: %s.", difference)
        return
    raise DataError(
        f"{difference}: the data have changed since. Measure again with gelora measure and "
        "--overwrite, or name the data, as with --train_file, to train on them all the same."
    )


def _train(
    config: Config,
    data: TaskData,
    plan: RankPlan,
    *,
    arguments: TrainingArguments,
    verb: str,
    inputs: dict[str, Any],
    with_encoder_baseline: bool,
) -> dict[str, Any]:
    folder = config.folder
    warn_if_busy()
    model, tokenizer = loading.load_with_head(config, data)
    check_fingerprint(model, plan.fingerprint)
    if config.run.overwrite and loading.is_main_process():
        _clear(folder)
    record.write(config, verb, stage="train", inputs=inputs, facts=loading.facts(model, data))
    cost = {"max_length": config.data.max_length, "batch_size": arguments.eval_batch_size}
    began = time.perf_counter()
    baselines = before_training(
        model, tokenizer, data, with_encoder=with_encoder_baseline, seed=config.run.seed, **cost
    )
    seconds = {"baselines": time.perf_counter() - began}

    logger.info("Training %s parameters in %s.", f"{plan.trainable_parameters:,}", folder)
    result = train_adapter(
        model,
        tokenizer,
        data,
        plan,
        arguments=_for_experts(for_the_trainer(arguments, config, data), plan),
        lora_kwargs=lora_arguments(config),
        max_length=config.data.max_length,
        resume_from_checkpoint=config.resume,
        callbacks=callbacks_of(config, data, plan, arguments=arguments),
    )
    began = time.perf_counter()
    metrics = evaluate(result.model, tokenizer, data, **cost) if data.validation is not None else {}
    seconds["evaluate"] = time.perf_counter() - began
    began = time.perf_counter()
    baselines |= after_training(result.model, tokenizer, data, **cost)
    seconds["baselines"] += time.perf_counter() - began
    payload = _payload(config, data, plan, result)
    payload["metrics"] = _plain(metrics)
    payload["baselines"] = {name: _plain(values) for name, values in baselines.items()}
    payload["seconds"] |= seconds
    if loading.is_main_process():
        _keep_origins(config, plan)
        if config.model.chat_template_path is not None:  # which the model itself comes without
            tokenizer.save_pretrained(str(folder / ADAPTER_FOLDER))
        write_json(folder / METRICS_FILE, payload, kind="metrics")
        write_card(folder)
    loading.wait_for_all_processes()
    return payload


def _is_finished(config: Config, inputs: dict[str, Any]) -> bool:
    """Say whether the folder holds the result of this very training, and refuse any other."""
    folder = config.folder
    checkpoints = sorted(path.name for path in folder.glob("checkpoint-*"))
    if (folder / METRICS_FILE).exists():
        record.check_inputs(folder, "train", inputs, holds=METRICS_FILE)
        return True
    if (folder / ADAPTER_FOLDER).exists() or checkpoints:
        record.check_inputs(folder, "train", inputs, holds="training")
    if checkpoints and config.resume is None:
        raise OutputExistsError(
            f"{folder} holds unfinished training ({', '.join(checkpoints)}): add "
            "--resume_from_checkpoint true to go on from there, or --overwrite to begin again."
        )
    return False


def _clear(folder: Path) -> None:
    """Remove what training left; the profile and the plan stay."""
    for path in (*folder.glob("checkpoint-*"), folder / ADAPTER_FOLDER):
        shutil.rmtree(path, ignore_errors=True)
    for name in (METRICS_FILE, REPORT_FILE, THEORY_FILE):
        (folder / name).unlink(missing_ok=True)


def _plan_of(config: Config) -> RankPlan:
    """Read the plan that is named, and keep it and its profile in the run's folder."""
    source = config.plan_source.plan
    plan = RankPlan.from_pretrained(locate(source or config.folder, PLAN_FILE))
    if source is None:
        return plan
    adopt_plan(config, plan)
    try:
        profile = DimensionProfile.from_pretrained(source)
    except ArtifactError:
        logger.info("There is no %s beside the plan, so the report will be without.", PROFILE_FILE)
    else:
        adopt_profile(config, profile)
    return plan


def _keep_origins(config: Config, plan: RankPlan) -> None:
    """Copy the plan, and the profile it came from, into the adapter's folder."""
    plan.save_pretrained(config.folder / ADAPTER_FOLDER)
    profile = profile_of(config, plan)
    if profile is not None:
        profile.save_pretrained(config.folder / ADAPTER_FOLDER)


def _push(config: Config, arguments: TrainingArguments) -> None:
    """Push the adapter's folder, with its card, plan and profile, to the Hub."""
    repository = arguments.hub_model_id or config.folder.name
    address = push_folder(
        config.folder / ADAPTER_FOLDER,
        repository,
        private=arguments.hub_private_repo,
        commit_message=f"Train {config.model_name} with gelora",
    )
    logger.info("The adapter is on the Hub: %s", address)


def _inputs(config: Config, data: TaskData, plan: RankPlan) -> dict[str, Any]:
    training = asdict(config.training)
    del training["resume_from_checkpoint"]
    splits = [data.train, data.validation, *data.more_validation.values()]
    return {
        **asdict(config.model),
        **lora_arguments(config),
        **training,
        **{name: value for name, value in config.extra.items() if name not in PUSHING},
        **(asdict(data.question_answering) if data.question_answering else {}),
        "model_name_or_path": config.model_name,
        "max_length": config.data.max_length,
        "seed": config.run.seed,
        "data_sha256": record.sha256_of([loading.columns_of(split) for split in splits]),
        "plan_sha256": plan.content_hash(),
    }


def _payload(
    config: Config, data: TaskData, plan: RankPlan, result: TrainingResult
) -> dict[str, Any]:
    """Return what is known without evaluating; floats and plain lists only."""
    measured = record.read_stages(config.folder).get("measure", {})
    known = {"measure": measured["seconds"]} if "seconds" in measured else {}
    return {
        "task": data.name,
        "problem": data.problem,
        "num_labels": data.num_labels,
        "label_names": data.label_names,
        "headline_metric": data.headline_metric,
        "model": config.model_name,
        "trainable_parameters": {
            "adapter": result.adapter_parameters,
            "head": result.head_parameters,
        },
        "seconds": {**known, "train": result.seconds},
        "peak_memory_bytes": result.peak_memory_bytes,
        "seed": config.run.seed,
        "history": result.history,
        "plan_hash": plan.content_hash(),
    }


def _plain(metrics: Metrics) -> dict[str, dict[str, Any]]:
    return {name: asdict(metric) for name, metric in metrics.items()}
