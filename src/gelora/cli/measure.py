"""`gelora measure`: model and texts in, dimension_profile.json out."""

import logging
import time
from dataclasses import asdict
from typing import Any

from gelora.architectures import check_fingerprint
from gelora.artifacts import PROFILE_FILE
from gelora.cli import loading, record
from gelora.cli.config import Config
from gelora.cli.console import Output, shows_progress
from gelora.cli.tables import dimension_table
from gelora.data import TaskData, texts_of
from gelora.dimension.profile import DimensionProfile
from gelora.measurement import measure_dimensions
from gelora.memory import peak_memory_bytes

logger = logging.getLogger(__name__)


def main(config: Config) -> Output:
    """Measure, and show the dimension after every block."""
    data = loading.load_data(config, labels_required=False)
    profile = measure(config, data, verb="measure")
    return Output(dimension_table(profile), profile.to_dict())


def measure(config: Config, data: TaskData, *, verb: str) -> DimensionProfile:
    """Return the run's profile: the one in its folder if nothing has changed, else a new one.

    Raises:
        OutputExistsError: The folder holds the profile of another run.
        ModelMismatchError: The profile is of another model of the same name.
    """
    path = config.folder / PROFILE_FILE
    texts = texts_of(data.train)
    inputs = _inputs(config, texts)
    finished = path.exists() and not config.run.overwrite
    if finished:
        record.check_inputs(config.folder, "measure", inputs, holds=PROFILE_FILE)
    model, tokenizer = loading.load_backbone(config)
    if finished:
        profile = DimensionProfile.from_pretrained(path)
        check_fingerprint(model, profile.fingerprint)
        logger.info("%s is complete and unchanged, so it is not measured again.", path)
        return profile

    flags = config.measurement
    logger.info("Measuring %s on %s.", config.model_name, data.name)
    began = time.perf_counter()
    profile = measure_dimensions(
        model,
        tokenizer,
        texts,
        num_samples=flags.num_samples,
        pooling=flags.pooling,
        estimator=flags.estimator,
        discard_fraction=flags.discard_fraction,
        batch_size=flags.measure_batch_size,
        max_length=config.data.max_length,
        target_modules=config.target_modules,
        seed=config.run.seed,
        progress=shows_progress(config.run),
    )
    path.unlink(missing_ok=True)  # a replaced profile must not stand beside the new one's record
    record.write(
        config,
        verb,
        stage="measure",
        inputs=inputs,
        facts=loading.facts(model, data),
        seconds=time.perf_counter() - began,
        peak_memory_bytes=peak_memory_bytes(loading.device()),
    )
    profile.save_pretrained(config.folder)
    return profile


def _inputs(config: Config, texts: list[Any]) -> dict[str, Any]:
    return {
        **asdict(config.model),
        **asdict(config.measurement),
        "model_name_or_path": config.model_name,
        "max_length": config.data.max_length,
        "seed": config.run.seed,
        "texts_sha256": record.sha256_of(texts),
    }
