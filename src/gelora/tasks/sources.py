"""Where a task's rows come from: files, the Hub, or the package for `agreement`."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gelora.errors import ConfigError, DataError
from gelora.tasks.known import Task
from gelora.tasks.tables import (
    Table,
    is_saved,
    read_file,
    read_saved,
    read_saved_validation,
    read_split,
)

logger = logging.getLogger(__name__)

AGREEMENT = "agreement"
PHENOMENON = "phenomenon"

_VALIDATION = "validation"
_AGREEMENT_FOLDER = Path(__file__).parent / AGREEMENT  # written by tools/agreement

File = str | Path | None


@dataclass(frozen=True)
class Tables:
    """A task's rows as they were read.

    Attributes:
        name: The task's, the data set's, or the file's.
        train: None where a validation file alone is named.
        validation: None where training rows are to be held out.
        more_validation: Further tables to validate on, by the ending of their metrics' names.
    """

    name: str
    train: Table | None
    validation: Table | None
    more_validation: Mapping[str, Table] = field(default_factory=dict[str, Table])

    @property
    def first(self) -> Table:
        """The table whose columns decide: the training table, if there is one.

        Raises:
            DataError: There is no table at all.
        """
        table = self.train or self.validation
        if table is None:
            raise DataError(f"{self.name} has neither training nor validation rows.")
        return table


def open_tables(
    task: Task | None,
    *,
    dataset: tuple[str | None, str | None, str, str | None],
    files: tuple[File, File, File],
    train_required: bool,
) -> Tables:
    """Read a task's rows.

    Args:
        task: A known task: where to find it, if nothing else says so, and its validation splits.
        dataset: Name, configuration, and the splits to train and to validate on.
        files: To train on, to validate on, and MNLI's mismatched one.
        train_required: Whether a validation file alone is too little; where it is enough, a
            training file is not read.

    Raises:
        ConfigError: No source is named, or two, or only half of one.
        DataError: It cannot be read.
    """
    name, config, train_split, wanted = dataset
    named = next((file for file in files if file is not None), None)
    if named is not None and name is not None:
        raise ConfigError(f"Give a file ({named}) or dataset_name ({name}), not both.")
    if named is not None:
        return _open_files(task, *files, train_required=train_required)
    if name is not None:
        return _open_dataset(task, name, config, train_split, wanted)
    if task is not None and task.name == AGREEMENT:
        return Tables(AGREEMENT, _packaged_table("train"), _packaged_table(_VALIDATION))
    if task is None or task.dataset is None:
        raise ConfigError("Nothing names the data: give task_name, dataset_name or train_file.")
    return _open_dataset(task, *task.dataset, train_split, wanted)


def _open_files(
    task: Task | None, train: File, validation: File, mismatched: File, *, train_required: bool
) -> Tables:
    others = [_ending(split) for split in task.validation_splits[1:]] if task else []
    if mismatched is not None and not others:
        raise ConfigError(
            f"validation_mismatched_file ({mismatched}) is for the task mnli, which alone has two "
            "sets to evaluate on."
        )
    if mismatched is not None and validation is None:
        raise ConfigError(
            f"validation_mismatched_file ({mismatched}) needs a validation_file beside it."
        )
    if task is not None and validation is not None and not train_required:
        train = None  # the task says all that its rows could
    if train is None and train_required:
        raise ConfigError(f"validation_file ({validation}) needs a train_file beside it.")
    name = task.name if task else Path(train or validation or "").name.partition(".")[0]
    train_table, own_validation = (None, None) if train is None else _open_file(train)
    if validation is not None:
        is_folder = is_saved(validation)
        validation_table = (read_saved_validation if is_folder else read_file)(validation)
    else:
        validation_table = own_validation
        if own_validation is not None:
            logger.info(
                "%s is validated on, for no validation_file is named.", own_validation.source
            )
    more = {} if mismatched is None else {others[0]: read_file(mismatched)}
    return Tables(name, train_table, validation_table, more)


def _open_file(path: str | Path) -> tuple[Table, Table | None]:
    """Return a file's rows, or of a saved data set a split and the one to validate on."""
    return read_saved(path) if is_saved(path) else (read_file(path), None)


def _open_dataset(
    task: Task | None, dataset: str, config: str | None, train_split: str, wanted: str | None
) -> Tables:
    name = task.name if task else Path(dataset).name if is_saved(dataset) else dataset
    if is_saved(dataset) and wanted is None:
        train, validation = read_saved(dataset, train_split)
        if validation is not None:
            logger.info(
                "%s is validated on, for no dataset_test_split is named.", validation.source
            )
        return Tables(name, train, validation)
    train = read_split(dataset, config, train_split)
    splits = (wanted,) if wanted else task.validation_splits if task else (_VALIDATION,)
    if wanted is None and splits[0] not in train.splits:
        there = ", ".join(train.splits)
        logger.info("%s has no split %r (it has %s): rows are held out.", dataset, splits[0], there)
        return Tables(name, train, None)
    first, *others = splits
    more = {_ending(split): read_split(dataset, config, split) for split in others}
    return Tables(name, train, read_split(dataset, config, first), more)


def _ending(split: str) -> str:
    return split.removeprefix(f"{_VALIDATION}_")


def _packaged_table(split: str) -> Table:
    table = read_file(_AGREEMENT_FOLDER / f"{split}.csv.gz")
    provenance = {"packaged": AGREEMENT, "split": split, "sha256": table.provenance["sha256"]}
    return replace(table, source=f"{AGREEMENT} [{split}]", provenance=provenance)
