"""Numbers, names and lists as text, for the pages, the model card and the terminal."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gelora.problems import SAMPLE_WORDS

_METRIC_NAMES = {
    "accuracy": "accuracy",
    "f1": "F1",
    "exact_match": "exact match",
    "matthews_correlation": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "perplexity": "perplexity",
    "HasAns_f1": "F1, answerable",
    "HasAns_exact": "exact match, answerable",
    "NoAns_f1": "F1, unanswerable",
    "NoAns_exact": "exact match, unanswerable",
    "best_f1": "F1, best threshold",
    "best_f1_thresh": "threshold best for F1",
    "best_exact": "exact match, best threshold",
    "best_exact_thresh": "threshold best for exact match",
}
"""Names of metrics, in the order of a table's rows."""

DECIMALS = {"question_answering": 2, "instruction_tuning": 2}
"""Decimals of a problem's metrics, which are percents and perplexities; 3 for other problems."""

_BASELINE_NAMES = {
    "frozen_encoder": "frozen encoder",
    "majority": "majority class",
    "base_model": "model without adapter",
}
ESTIMATOR_NAMES = {
    "twonn_linfit": "line fit",
    "twonn_mle": "maximum likelihood",
    "gride_2": "Gride, n = 2",
    "gride_4": "Gride, n = 4",
    "gride_8": "Gride, n = 8",
    "levina_bickel": "many neighbours",
}
"""Names of the estimators in words, in the order of a figure."""
_BREAKABLE = re.compile(
    r"(?P<markup><(svg|pre|style|title|code)\b.*?</\2>|<[^>]*>)|(?P<flag>--\w+)"
    r"|(?<=\d) (?=(?:%|±|s|min|h|GB)(?!\w))|(?<=±) ",
    re.DOTALL,
)
"""Markup, which stays as it is, a flag, or a space at which no line may break."""


def number(value: float, decimals: int) -> str:
    """Return a number with a real minus sign and thousands set apart.

    >>> number(-1234.567, 1)
    '−1,234.6'
    """
    text = f"{value:,.{decimals}f}"
    is_zero = not text.strip("-0.,")
    return text.lstrip("-") if is_zero else text.replace("-", "−")


def with_error(value: float, standard_error: float, *, decimals: int, sign: bool = False) -> str:
    """Return a value and its standard error; an error of 0 is uninformative and left out.

    >>> with_error(9.4123, 0.1834, decimals=2), with_error(0.0, 0.0, decimals=3)
    ('9.41 ± 0.18', '0.000')
    """
    text = number(value, decimals)
    if sign and value > 0:
        text = f"+{text}"
    return f"{text} ± {number(standard_error, decimals)}" if standard_error > 0 else text


def duration(seconds: float) -> str:
    """Return a time in its two largest units.

    >>> duration(4.2), duration(358), duration(7300)
    ('4.2 s', '5 min 58 s', '2 h 1 min')
    """
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def join(items: Iterable[str]) -> str:
    """Return the items of a list in a sentence, with "and" before the last."""
    items = list(items)
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else items[0]


def list_runs(names: Sequence[str], indices: Iterable[int], *, everything: str) -> str:
    """Name some items of a series, runs of three or more by their ends.

    >>> list_runs(["a", "b", "c", "d", "e"], [4, 0, 1, 2], everything="all")
    'a to c and e'
    """
    runs = list[list[int]]()
    indices = sorted(indices)
    if len(indices) == len(names):
        return everything
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    spans = [
        [f"{names[run[0]]} to {names[run[-1]]}"] if len(run) > 2 else [names[i] for i in run]
        for run in runs
    ]
    return join([span for parts in spans for span in parts])


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, last_is_text: bool = False
) -> str:
    """Return aligned columns: texts to the left, numbers to the right.

    Args:
        headings: One per column.
        rows: The first cell of each is text, the others are numbers.
        last_is_text: Whether the last column is text, too.

    >>> print(table(["block", "rank"], [["layer.0", "1"], ["layer.1", "12"]]))
    block    rank
    layer.0     1
    layer.1    12
    """
    lines = [list(headings), *map(list, rows)]
    texts = {0, len(headings) - 1} if last_is_text else {0}
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in texts else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def one_line(text: str) -> str:
    """Return text with every run of white space made one space."""
    return " ".join(text.split())


def keep_together(html: str) -> str:
    """Return a page in which no line breaks between a number and its unit, or within a flag.

    Markup, figures and code stay as they are.

    >>> keep_together("<p>--seed: 3 %</p>") == "<p><code>--seed</code>: 3\u00a0%</p>"
    True
    """

    def kept(match: re.Match[str]) -> str:
        flag = match["flag"]
        return match["markup"] or (f"<code>{flag}</code>" if flag else "\u00a0")

    return _BREAKABLE.sub(kept, html)


def second_set(name: str) -> tuple[str, str]:
    """Return a metric's own name, and the name of its second validation set or "".

    >>> second_set("accuracy_mismatched"), second_set("f1")
    (('accuracy', 'mismatched'), ('f1', ''))
    """
    base = name.removesuffix("_mismatched")
    return base, "mismatched" if base != name else ""


def metric_name(name: str) -> str:
    """Return a metric's name in words.

    >>> metric_name("f1"), metric_name("accuracy_mismatched")
    ('F1', 'accuracy, mismatched')
    """
    base, second = second_set(name)
    words = _METRIC_NAMES.get(base, base.replace("_", " "))
    return f"{words}, {second}" if second else words


def baseline_name(name: str, problem: str) -> str:
    """Return a baseline's name in words; for regression the majority baseline is the mean."""
    if name == "majority" and problem == "regression":
        return "mean label"
    return _BASELINE_NAMES.get(name, name.replace("_", " "))


def metric_value(metric: Mapping[str, Any] | None, problem: str) -> str:
    """Return a metric of `metrics.json` with its standard error, or a dash."""
    if metric is None:
        return "–"
    decimals = DECIMALS.get(problem, 3)
    return with_error(metric["value"], metric["standard_error"], decimals=decimals)


def in_order(metrics: Mapping[str, Any]) -> list[str]:
    """Return the names of a run's metrics: the headline metric, then totals, then parts."""
    known = list(_METRIC_NAMES)

    def place(name: str) -> tuple[bool, bool, int, str]:
        base, second = second_set(name)
        rank = known.index(base) if base in known else len(known)
        return name != metrics["headline_metric"], bool(second), rank, name

    return sorted(metrics["metrics"], key=place)


def samples_word(problem: str) -> str:
    """Return what the samples of a problem are called, as "texts"."""
    return SAMPLE_WORDS[problem]


def flatten(value: object, colon: str = " ", comma: str = ", ") -> str:
    """Return a JSON value on one line, in words rather than brackets."""
    if isinstance(value, Mapping):
        known = {key: entry for key, entry in sorted(value.items()) if entry is not None}
        return comma.join(f"{key}{colon}{flatten(entry)}" for key, entry in known.items())
    if isinstance(value, list | tuple):
        return " ".join(map(flatten, value))
    return "" if value is None else str(value)
