"""The split that a model is scored on."""

from typing import TYPE_CHECKING

from gelora.data import LABEL_COLUMNS, TaskData
from gelora.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset


def labelled_validation(data: TaskData) -> "Dataset":
    """Return the validation split.

    Raises:
        DataError: There is none, or it has no labels or no rows.
    """
    validation = data.validation
    is_labelled = validation is not None and LABEL_COLUMNS[data.problem] in validation.column_names
    if validation is None or not is_labelled or len(validation) == 0:
        raise DataError(
            f"{data.name} has no labelled validation texts: name a validation file or split."
        )
    return validation
