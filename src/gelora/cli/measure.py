"""`gelora measure`: from a model and texts, or from kept states, to dimension_profile.json."""

import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gelora.artifacts import PROFILE_FILE
from gelora.cli import loading, record
from gelora.cli.config import Config
from gelora.cli.console import Output, warn_if_busy
from gelora.cli.tables import dimension_text
from gelora.dimension.profile import DimensionProfile
from gelora.errors import ArtifactError, OutputExistsError
from gelora.hidden_states import measure_dimensions, measure_hidden_states
from gelora.hidden_states.architectures import check_fingerprint
from gelora.hidden_states.batches import Texts
from gelora.hidden_states.devices import device_name
from gelora.hidden_states.store import STATES_FOLDER, open_states, remove_states, store_in
from gelora.memory import peak_memory_bytes
from gelora.ranks import plan_ranks
from gelora.settings import ESTIMATION
from gelora.tasks import TaskData, texts_of
from gelora.tasks.instruction_tuning.chats import check_causal

logger = logging.getLogger(__name__)


def main(config: Config) -> Output:
    """Measure, and show the dimension after every block."""
    if config.states.hidden_states is not None:
        profile = _measure_kept_states(config, config.states.hidden_states)
    else:
        data = loading.load_data(config, labels_required=False)
        profile = measure(config, data, verb="measure")
    return Output(dimension_text(profile), profile.to_dict())


def measure(config: Config, data: TaskData, *, verb: str) -> DimensionProfile:
    """Return the run's profile, from its folder if its inputs are unchanged, else measured now.

    Several processes measure together, and the main process writes.

    Raises:
        OutputExistsError: The folder holds the profile of another run, or states without a profile.
        ModelMismatchError: The profile is of another model of the same name.
    """
    texts = texts_of(data.train)
    inputs = _inputs(config, texts, verb)
    finished = _finished_profile(config, inputs)
    model, tokenizer = loading.load_backbone(config)
    if finished is not None:
        check_fingerprint(model, finished.fingerprint)
        return finished
    if verb in ("run", "verify") and data.problem == "instruction_tuning":
        check_causal(model)  # before the work, not after it

    warn_if_busy()
    store = config.folder / STATES_FOLDER if config.states.keep_hidden_states else None
    logger.info("Measuring %s on %s.", config.model_name, data.name)
    began = time.perf_counter()
    profile = measure_dimensions(
        model,
        tokenizer,
        texts,
        config.measuring(verb),
        ranks=lambda profile: plan_ranks(profile, config.ranks).ranks,
        max_length=config.data.max_length,
        target_modules=config.ranks.target_modules,
        keep_hidden_states=store,
        overwrite=config.run.overwrite,
        seed=config.run.seed,
        progress=False if config.run.quiet else None,
    )
    facts = loading.facts(model, data)
    profile = replace(profile, data=_data_record(config, data, inputs["texts_sha256"]))
    _leave(config, verb, profile, inputs=inputs, facts=facts, began=began, store=store)
    return profile


def _measure_kept_states(config: Config, folder: str) -> DimensionProfile:
    """Estimate the profile from kept states, without a model."""
    states, _ = open_states(folder)
    config = replace(config, run=replace(config.run, seed=states.seed))
    inputs = {
        **{name: getattr(config.measurement, name) for name in ESTIMATION},
        "states_sha256": states.content_hash(),
    }
    store = store_in(folder)
    finished = _finished_profile(config, inputs, store=store)
    if finished is not None:
        return finished
    device = device_name(loading.device())
    facts = {"device": device, "model_revision": None, "data": {"states": folder}}
    began = time.perf_counter()
    profile = measure_hidden_states(folder, config.measurement)
    with contextlib.suppress(ArtifactError):  # states may lie in no run
        profile = replace(profile, data=DimensionProfile.from_pretrained(store.parent).data)
    _leave(config, "measure", profile, inputs=inputs, facts=facts, began=began, store=store)
    return profile


def _finished_profile(
    config: Config, inputs: Mapping[str, Any], *, store: Path | None = None
) -> DimensionProfile | None:
    """Return the profile in the run's folder, or None if the run must measure.

    Raises:
        OutputExistsError: The profile is another run's, or there are other states than `store`
            without a profile.
    """
    path = config.folder / PROFILE_FILE
    if config.run.overwrite:
        return None
    if not path.exists():
        kept = config.folder / STATES_FOLDER
        if kept.exists() and not _is_same(kept, store):  # a crash came between the two
            raise OutputExistsError(
                f"{kept} is there, and {PROFILE_FILE} is not: measure from these states with gelora"
                f" measure --hidden_states {config.folder} --output_dir {config.folder}, or replace"
                " them with --overwrite."
            )
        return None
    record.check_inputs(config.folder, "measure", inputs, holds=PROFILE_FILE)
    profile = DimensionProfile.from_pretrained(path)
    logger.info("%s is complete and unchanged, so it is not measured again.", path)
    return profile


def _leave(
    config: Config,
    verb: str,
    profile: DimensionProfile,
    *,
    inputs: Mapping[str, Any],
    facts: Mapping[str, Any],
    began: float,
    store: Path | None,
) -> None:
    """Save the profile and its record in the run's folder, and remove other states than `store`."""
    if loading.is_main_process():
        if not _is_same(config.folder / STATES_FOLDER, store):
            remove_states(config.folder / STATES_FOLDER)
        # A replaced profile must not stand beside the new one's record.
        (config.folder / PROFILE_FILE).unlink(missing_ok=True)
        record.write(
            config,
            verb,
            stage="measure",
            inputs=inputs,
            facts=facts,
            seconds=time.perf_counter() - began,
            peak_memory_bytes=peak_memory_bytes(loading.device()),
        )
        profile.save_pretrained(config.folder)
    loading.wait_for_all_processes()


def _data_record(config: Config, data: TaskData, texts_sha256: str) -> dict[str, Any]:
    """Return the profile's record of its texts: origin, columns and hash."""
    columns = {
        name: value
        for name in ("text_columns", "label_column")
        if (value := getattr(config.data, name)) is not None
    }
    train: Mapping[str, Any] = data.provenance["train"]
    return {"name": data.name, "source": dict(train), "texts_sha256": texts_sha256, **columns}


def _is_same(path: Path, store: Path | None) -> bool:
    return store is not None and path.resolve() == store.resolve()


def _inputs(config: Config, texts: Texts, verb: str) -> dict[str, Any]:
    return {
        **asdict(config.model),
        **asdict(config.measuring(verb)),
        **asdict(config.states),
        "model_name_or_path": config.model_name,
        "max_length": config.data.max_length,
        "seed": config.run.seed,
        "texts_sha256": record.sha256_of(texts),
    }
