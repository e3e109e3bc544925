"""Where a task's rows come from: files, the Hub, or the generator of `agreement`.

What the columns mean is decided by those who read the tables.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from gelora.data.agreement import Sentence, agreement
from gelora.data.tables import Table, read_file, read_split
from gelora.errors import ConfigError
from gelora.tasks import Task

logger = logging.getLogger(__name__)

GLUE = "nyu-mll/glue"
AGREEMENT = "agreement"
PHENOMENON = "phenomenon"

_VALIDATION = "validation"
_AGREEMENT_SEED = 0  # the sentences stay the same in runs of other seeds, as a download would


def open_tables(
    task: Task | None,
    *,
    dataset: tuple[str | None, str | None, str, str | None],
    files: tuple[str | Path | None, str | Path | None],
) -> tuple[str, Table, Table | None]:
    """Return the data's name, the training table, and the validation table if one is named."""
    dataset_name, config, train_split, validation_split = dataset
    train_file, validation_file = files
    if train_file is not None and dataset_name is not None:
        raise ConfigError(
            f"Give train_file ({train_file}) or dataset_name ({dataset_name}), not both."
        )
    if train_file is None and validation_file is not None:
        raise ConfigError(f"validation_file ({validation_file}) needs a train_file beside it.")
    if train_file is not None:
        name = task.name if task else Path(train_file).name.partition(".")[0]
        validation = None if validation_file is None else read_file(validation_file)
        return name, read_file(train_file), validation
    if dataset_name is None:
        if task is None:
            raise ConfigError("Nothing names the data: give task_name, dataset_name or train_file.")
        if task.name == AGREEMENT:
            return task.name, *_generated_tables()
        dataset_name, config = GLUE, task.name
    name = task.name if task else dataset_name
    train = read_split(dataset_name, config, train_split)
    if validation_split is None and _VALIDATION not in train.splits:
        logger.info(
            "%s has no split %r (it has %s): rows are held out.",
            dataset_name,
            _VALIDATION,
            ", ".join(train.splits),
        )
        return name, train, None
    return name, train, read_split(dataset_name, config, validation_split or _VALIDATION)


def _generated_tables() -> tuple[Table, Table]:
    train, validation = agreement(seed=_AGREEMENT_SEED)
    return _generated_table(train, "train"), _generated_table(validation, "validation")


def _generated_table(sentences: Sequence[Sentence], split: str) -> Table:
    lines = [f"{sentence.label} {sentence.text}\n" for sentence in sentences]
    return Table(
        source=f"{AGREEMENT} [{split}]",
        columns={
            "text": [sentence.text for sentence in sentences],
            "label": [sentence.label for sentence in sentences],
            PHENOMENON: [sentence.phenomenon for sentence in sentences],
        },
        string_columns=("text",),
        provenance={
            "generated": AGREEMENT,
            "split": split,
            "seed": _AGREEMENT_SEED,
            "sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
        },
    )
