"""Turn the text of a CSV, JSON or JSON Lines file into columns; errors name the line.

Only the standard library is used, so that the text `NA` stays a text.
"""

import csv
import io
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gelora.errors import DataError

logger = logging.getLogger(__name__)

Columns = dict[str, list[Any]]

SEPARATORS: Mapping[str, str] = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""Separators of a CSV file, the usual one first, with their names in messages."""

_SNIFFED_ROWS = 200
"""Rows that must all have as many fields as the header for a separator to be taken."""

_LONGEST_FIELD = 2**31 - 1
"""Characters of a field; the csv module's own limit, 128 KiB, is shorter than a long document."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def read_csv(text: str, name: str, *, separators: Sequence[str] = tuple(SEPARATORS)) -> Columns:
    """Return the columns of a CSV file, whose separator is guessed from its first rows.

    Spaces around the names of columns are removed.

    Args:
        text: The whole file.
        name: Of the file, for messages.
        separators: The separators to choose from.

    Raises:
        DataError: A row has another number of fields than the header, two columns have one name,
            or a quote is not closed.
    """
    separator, quoting = _dialect(text, separators)
    if separator != ",":
        logger.info("%s is separated by %s.", name, SEPARATORS[separator])
    limit = csv.field_size_limit(_LONGEST_FIELD)
    reader = _reader(text, separator, quoting)
    try:
        header = next(reader, [])
        names = [column.strip() for column in header]
        if len(set(names)) < len(names):
            raise DataError(f"{name} has two columns of one name in its header: {names}.")
        rows: list[list[str]] = []
        for row in reader:
            if len(row) not in (0, len(names)):
                raise DataError(
                    f"Line {reader.line_num} of {name} has {len(row)} fields, its header has "
                    f"{len(names)}; fields are separated by {SEPARATORS[separator]}: put quotes "
                    "around a text that holds one."
                )
            if row:
                rows.append(row)
    except csv.Error as error:
        raise DataError(f"Line {reader.line_num} of {name} is no CSV: {error}.") from error
    finally:
        csv.field_size_limit(limit)
    if names != header:
        logger.info("%s has spaces around the names of its columns, which are left out.", name)
    return {column: [row[index] for row in rows] for index, column in enumerate(names)}


def read_json(text: str, name: str) -> Columns:
    """Return the columns of JSON lines, an array of rows, one row, or an object of columns.

    An object whose only list is called `data`, as many tools export it, is the list of its rows;
    SQuAD's own files, whose `data` are articles, stay one row.

    Raises:
        DataError: The text is no JSON, a row is no object, or a text in it is no Unicode.
    """
    rows: list[dict[str, Any]] = []
    for where, row in _json_values(text, name):
        if not isinstance(row, dict):
            raise DataError(f"{where} of {name} is no JSON object but {row!r:.50}.")
        rows.append(row)
    if len(rows) == 1:
        rows = _rows_of_object(rows[0])
    # Only an escape can put half a character into a text that was UTF-8.
    if "\\ud" in text or "\\uD" in text:
        for number, row in enumerate(rows, start=1):
            _check_unicode(row, f"Row {number} of {name}")
    columns = dict.fromkeys(column for row in rows for column in row)
    return {column: [row.get(column) for row in rows] for column in columns}


def _dialect(text: str, separators: Sequence[str]) -> tuple[str, int]:
    """Return the separator, and how quotes are read: tabs may come with quotes that mean nothing.

    The first separator is taken that gives the header several fields, and the first rows as many.
    If there is none, the separator with the most fields in the header is taken; reading then names
    the line that is wrong.
    """
    widths: dict[str, int] = {}
    for separator in separators:
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
            if quoting == csv.QUOTE_NONE and separator != "\t":
                continue
            width, is_even = _width(text, separator, quoting)
            if width > 1 and is_even:
                return separator, quoting
            widths[separator] = max(width, widths.get(separator, 0))
    return max(widths, key=lambda separator: widths[separator]), csv.QUOTE_MINIMAL


def _width(text: str, separator: str, quoting: int) -> tuple[int, bool]:
    """Return how many fields the header has, and whether the first rows have as many."""
    reader = _reader(text, separator, quoting)
    width, is_even = 0, True
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        width = len(next(reader, []))
        for row, _ in zip(reader, range(_SNIFFED_ROWS), strict=False):
            is_even = is_even and len(row) in (0, width)
    except csv.Error:
        is_even = False
    finally:
        csv.field_size_limit(limit)
    return width, is_even


def _reader(text: str, separator: str, quoting: int) -> Any:
    lines = io.StringIO(text, newline="")
    return csv.reader(lines, delimiter=separator, quoting=quoting, strict=True)  # type: ignore[arg-type]


def _json_values(text: str, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every row with its place, from an array, from lines or from one object."""
    if text.lstrip().startswith("["):
        values = _parsed(text, name)
        yield from ((f"Item {number}", value) for number, value in enumerate(values, start=1))
        return
    # not splitlines(), which also splits at the line separators that JSON strings may hold
    end = "\n" if "\n" in text else "\r"  # a lone return ends the lines of old Mac files
    lines = [(number, line) for number, line in enumerate(text.split(end), start=1) if line.strip()]
    if len(lines) > 1 and text.lstrip().startswith("{") and not _is_json(lines[0][1]):
        yield "The object", _parsed(text, name)
        return
    for number, line in lines:
        yield f"Line {number}", _parsed(line, name, line=number)


def _is_json(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except ValueError:
        return False
    return True


def _parsed(text: str, name: str, *, line: int | None = None) -> Any:
    try:
        return json.loads(text, strict=False)  # control characters in texts are read as they are
    except json.JSONDecodeError as error:
        raise DataError(
            f"Line {line or error.lineno} of {name} is no JSON: {error.msg}."
        ) from error
    except ValueError as error:  # Python reads no integer of more than 4300 digits
        place = f"Line {line} of {name}" if line else name
        raise DataError(f"{place} holds a number with too many digits to be read.") from error
    except RecursionError as error:
        raise DataError(f"{name} has values nested too deep to be read.") from error


def _rows_of_object(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that a file's only object stands for."""
    data = row.get("data")
    if isinstance(data, list) and data and all(isinstance(item, dict) for item in data):
        is_squad = any("paragraphs" in item for item in data)
        return [row] if is_squad else data
    columns = list(row.values())
    are_columns = len(columns) > 1 and all(
        isinstance(column, list) and not any(isinstance(value, dict | list) for value in column)
        for column in columns
    )
    if are_columns and len({len(column) for column in columns}) == 1:
        return [dict(zip(row, values, strict=True)) for values in zip(*columns, strict=True)]
    return [row]


def _check_unicode(value: Any, where: str) -> None:
    """Refuse half of a character, which no tokenizer takes."""
    if isinstance(value, str):
        half = _SURROGATE.search(value)
        if half:
            raise DataError(
                f"{where} holds half a character, \\u{ord(half[0]):04x}, in {value[:40]!r}: an "
                "emoji was cut in two. Repair the text, or remove the row."
            )
    elif isinstance(value, Mapping):
        for item in (*value.keys(), *value.values()):
            _check_unicode(item, where)
    elif isinstance(value, list):
        for item in value:
            _check_unicode(item, where)
