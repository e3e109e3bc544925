"""What is said of a comparison: wins, ties and losses, the controls, and how it was tested.

Every function turns summaries into words; nothing is computed that a table does not show.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from gelora.lab.comparison.results import REFERENCE_METHOD, Results, Row, Trial, task_label
from gelora.lab.comparison.search import is_tied
from gelora.lab.comparison.sensitivity import Variation
from gelora.lab.comparison.statistics import SIGNIFICANT, Outcome, Summary
from gelora.lab.pages.comparison_tables import (
    OFF_BUDGET,
    interval,
    mean_and_deviation,
    p_text,
)
from gelora.report import wording
from gelora.report.result_wording import metric_name, samples_word

CONTROLS: Mapping[str, str] = {
    "gelora-shuffled": "the same ranks in random places",
    "gelora-reversed": "the same ranks from the last block to the first",
}

MAX_NAMED = 5  # of the methods that it cannot be told from
_VERDICTS: Mapping[Outcome, str] = {
    "win": "is better than",
    "loss": "is worse than",
    "tie": "cannot be told from",
}

OUTCOME_NOTE = (
    f"A win or a loss of {REFERENCE_METHOD} is a difference whose p, by Holm's correction over the "
    f"methods of a task and budget, is below {SIGNIFICANT:g}. A tie is one that so many seeds and "
    "samples cannot tell from chance; it does not say that two methods are equally good."
)
TEST_NOTE = (
    "Differences, intervals and p are by a paired bootstrap over seeds and validation samples: "
    "both methods have the same seeds and the same resampled samples (docs/comparison.md)."
)


def headline(summaries: Sequence[Summary]) -> list[str]:
    """Return how `gelora` fares: over all, at equal budgets alone, for each task and budget."""
    tested = [one for one in summaries if one.difference is not None]
    if not tested:
        return [
            f"No method can be compared with {REFERENCE_METHOD} yet: that takes two seeds of both."
        ]
    places = dict.fromkeys((one.task, one.budget) for one in tested)
    sentences = [f"{REFERENCE_METHOD} {_counts(tested)} in {_comparisons(len(tested))}."]
    equal = [one for one in tested if all(row.meets_budget for row in one.rows)]
    if 0 < len(equal) < len(tested):
        sentences.append(
            f"Against those that meet the budget it {_counts(equal)} in {_comparisons(len(equal))}."
        )
    if len(places) > 1:
        sentences += [
            f"On {task} at {budget} it "
            f"{_counts([one for one in tested if (one.task, one.budget) == (task, budget)])}."
            for task, budget in places
        ]
    return sentences


def place_sentences(summaries: Sequence[Summary], problem: str) -> list[str]:
    """Return what there is to say of one task at one budget: who beats whom, and the controls."""
    metric = metric_name(summaries[0].rows[0].headline_metric)
    sentences: list[str] = []
    own = [one for one in summaries if one.method == REFERENCE_METHOD]
    if own:
        sentences.append(
            f"{REFERENCE_METHOD} reaches {metric} {mean_and_deviation(own[0], problem)}."
        )
    for outcome, words in _VERDICTS.items():
        methods = [
            one.method
            for one in summaries
            if one.difference is not None and one.difference.outcome == outcome
        ]
        if outcome == "tie" and len(methods) > MAX_NAMED:
            methods = [f"the other {len(methods)}"]
        if methods:
            sentences.append(f"It {words} {wording.join(methods)}.")
    return sentences + control_sentences(summaries, problem)


def control_sentences(summaries: Sequence[Summary], problem: str) -> list[str]:
    """Return what the controls say of whether it matters where the ranks stand."""
    sentences: list[str] = []
    for one in summaries:
        if one.method not in CONTROLS or one.difference is None:
            continue
        verdict = {
            "win": "so it matters that they stand where the dimension grows",
            "tie": "so nothing here shows that it matters where they stand",
            "loss": "so their places by the dimension do harm here",
        }[one.difference.outcome]
        sentences.append(
            f"With {CONTROLS[one.method]} ({one.method}) the result moves by "
            f"{interval(one.difference, problem)}, corrected p {p_text(one.difference.corrected_p)}"
            f", {verdict}."
        )
    return sentences


def place_note(summaries: Sequence[Summary], problem: str) -> str:
    """Return what to know when reading the table of one task at one budget."""
    row = summaries[0].rows[0]
    metric = metric_name(row.headline_metric)
    samples = int(row.metrics[row.headline_metric]["num_samples"])
    heads = sorted({row.parameters["head"] for one in summaries for row in one.rows})
    head = " to ".join(f"{count:,}" for count in dict.fromkeys((heads[0], heads[-1])))
    where = f"on {samples:,} validation {samples_word(problem)}"
    notes = [
        f"Mean ± standard deviation of {metric} over seeds, {where}; the best stands first.",
        f"Parameters are those beside the head, which every method trains: {head} more.",
    ]
    notes += _off_budget(summaries)
    notes.append("Times are medians over seeds.")
    return " ".join(notes)


def sensitivity_note(varied: Sequence[Variation]) -> str:
    """Return what to know when reading the tables of varied settings."""
    notes = [
        "One method with one setting varied.",
        "A module has moved if its rank is another than in the first row.",
        "The p are not corrected for their number.",
        *_off_budget([one.summary for one in varied]),
    ]
    return " ".join(notes)


def _off_budget(summaries: Sequence[Summary]) -> list[str]:
    missed = [row for one in summaries for row in one.rows if not row.meets_budget]
    if not missed:
        return []
    budgets = " or ".join(dict.fromkeys(f"{row.budget_parameters:,}" for row in missed))
    why = "it has one size, or none that is nearer, or ends where training leads it"
    return [f"{OFF_BUDGET} misses the budget of {budgets} parameters: {why}."]


def trials_note(results: Results) -> str:
    """Return how learning rates were chosen, and what lies at the edge of the grid."""
    if not results.trials:
        return "Learning rates were not searched: all methods have the one that was given."
    rates = sorted({trial.learning_rate for trial in results.trials})
    tried: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in results.trials:
        tried.setdefault(_place(trial), []).append(trial)
    chosen = {_place(row): row.learning_rate for row in results.rows if _place(row) in tried}
    tied = sum(is_tied(tried[place]) for place in chosen)
    fewer = sum(len(tried[place]) < len(results.settings["learning_rates"]) for place in chosen)
    edge = sum(rate in (rates[0], rates[-1]) for rate in chosen.values())
    note = (
        "Every method tried the same rates, once each, on a part of the training data, scored on "
        "the rest of it; the best, in brackets, was taken for all seeds. No validation sample "
        "was seen."
    )
    if fewer:
        note += (
            f" {fewer} of {len(chosen)} choices are among fewer rates, for a trial failed: the "
            "same call tries it again."
        )
    if tied:
        note += (
            f" {tied} of {len(chosen)} choices are between rates that did equally well: the one "
            "with the lower loss was taken, or where there is none the smaller."
        )
    if edge and len(rates) > 1:
        note += (
            f" {edge} of {len(chosen)} choices are the smallest or the largest rate of the grid, "
            "beyond which a better one may lie."
        )
    return note


def progress(results: Results) -> str:
    """Return how much of what was asked for is there."""
    asked = len(results.settings["seeds"])
    for name in ("tasks", "methods", "budgets"):
        asked *= len(results.settings[name])
    failed = f", {len(results.failures)} failed" if results.failures else ""
    return f"{len(results.rows):,} of {asked:,} runs are there{failed}."


def describe(summaries: Sequence[Summary], problem: str) -> str:
    """Return every method's quality and cost, for those who do not see the figure."""
    return ", ".join(
        f"{one.method} at {one.budget} {mean_and_deviation(one, problem)}" for one in summaries
    )


def _place(record: Row | Trial) -> tuple[str, str, str]:
    """Return what has one learning rate: a method on a task, varied or not, at a budget."""
    return task_label(record.task, record.varied), record.budget, record.method


def _counts(summaries: Sequence[Summary]) -> str:
    counts = Counter(one.difference.outcome for one in summaries if one.difference is not None)
    return f"wins {counts['win']}, ties {counts['tie']} and loses {counts['loss']}"


def _comparisons(count: int) -> str:
    return "one comparison" if count == 1 else f"{count} comparisons"
