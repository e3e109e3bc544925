"""What metrics.json holds for the problems other than classification, without training anything."""

from pathlib import Path

from gelora.artifacts import METRICS_FILE, write_json
from report.example_run import example_metrics, write_example_run

NO_LABELS = {"num_labels": 0, "label_names": None}


def write_example_of(folder: Path, problem: str) -> None:
    """Write a trained run of another problem into `folder`."""
    plan = write_example_run(folder)
    metrics = example_metrics(plan) | PROBLEMS[problem]
    write_json(folder / METRICS_FILE, metrics, kind="metrics")


def _metric(value: float, standard_error: float, num_samples: int) -> dict:
    return {"value": value, "standard_error": standard_error, "num_samples": num_samples}


def _history(**evaluated: float) -> list[dict]:
    losses = [{"step": step, "loss": 3.0 - step / 200} for step in range(10, 200, 10)]
    return [*losses, {"step": 200, **{f"eval_{name}": value for name, value in evaluated.items()}}]


PROBLEMS: dict[str, dict] = {
    "question_answering": {
        **NO_LABELS,
        "task": "squad_v2",
        "problem": "question_answering",
        "headline_metric": "f1",
        "metrics": {
            "f1": _metric(71.234, 0.61, 4000),
            "exact_match": _metric(67.5, 0.64, 4000),
            "HasAns_f1": _metric(70.0, 0.9, 2000),
            "HasAns_exact": _metric(62.5, 1.0, 2000),
            "NoAns_f1": _metric(72.5, 1.0, 2000),
            "NoAns_exact": _metric(72.5, 1.0, 2000),
            "best_f1": _metric(71.9, 0.6, 4000),
            "best_f1_thresh": _metric(-1.25, 0.4, 4000),
        },
        "baselines": {},
        "history": _history(f1=70.1, exact_match=66.2),
    },
    "instruction_tuning": {
        **NO_LABELS,
        "task": "alpaca",
        "problem": "instruction_tuning",
        "headline_metric": "perplexity",
        "metrics": {"perplexity": _metric(5.4321, 0.0567, 500)},
        "baselines": {"base_model": {"perplexity": _metric(9.8765, 0.123, 500)}},
        "trainable_parameters": {"adapter": 98_304, "head": 0},
        "history": _history(loss=1.7),
    },
}
