"""The flags of `gelora evaluate` that are about answers: score a file of them, or write one."""

from collections.abc import Sequence
from pathlib import Path

from gelora.cli.config import Config
from gelora.errors import ConfigError, OutputExistsError
from gelora.tasks import TaskData, labelled_validation
from gelora.tasks.metrics import Metric
from gelora.tasks.question_answering.answers import (
    Answer,
    null_odds_path,
    read_null_odds,
    read_predictions,
    write_predictions,
)
from gelora.tasks.question_answering.evaluation import settings_of
from gelora.tasks.question_answering.scoring import answer_metrics


def check_answers(config: Config) -> None:
    """Refuse flags that are about answers where there are none, or that contradict each other.

    Raises:
        ConfigError: The data hold no questions, or answers are both given and asked for.
        OutputExistsError: A file that would be written is there.
    """
    flags, problem = config.answers, config.problem or "classification"
    named = config.task_name or "the data"
    files = {"predictions": flags.predictions, "answer_file": flags.answer_file}
    for name, file in files.items():
        if file is not None and problem != "question_answering":
            raise ConfigError(
                f"--{name} {file} is for answers to questions, and {named} is a {problem}: add "
                "--task squad or --task squad_v2."
            )
    if flags.predictions is None and flags.na_prob_file is not None:
        raise ConfigError(
            f"--na_prob_file {flags.na_prob_file} belongs to a file of answers: name that as "
            "--predictions."
        )
    model = {"answer_file": flags.answer_file, "adapter": config.adapter_source.adapter}
    for name, value in model.items():
        if flags.predictions is not None and value is not None:
            raise ConfigError(
                f"--predictions {flags.predictions} holds the answers, so --{name} {value} is not "
                "used: leave out one of the two."
            )
    if flags.answer_file is not None and not config.run.overwrite:
        path = Path(flags.answer_file)
        for file in (path, null_odds_path(path)):
            if file.exists():
                raise OutputExistsError(
                    f"{file} exists already: name another --answer_file, or add --overwrite."
                )


def score_file(config: Config, data: TaskData, file: str) -> dict[str, Metric]:
    """Score the answers in a file, without a model.

    Raises:
        ConfigError: There are odds, and no question may be without an answer.
    """
    questions, odds_file = labelled_validation(data), config.answers.na_prob_file
    version_2 = bool(settings_of(data).version_2_with_negative)
    if odds_file is not None and not version_2:
        raise ConfigError(
            f"--na_prob_file {odds_file} is about questions without an answer, and {data.name} has "
            "none: leave it out, or add --version_2_with_negative true."
        )
    return answer_metrics(
        read_predictions(file, questions["id"]),
        [gold["text"] for gold in questions["answers"]],
        version_2=version_2,
        null_odds=None if odds_file is None else read_null_odds(odds_file, questions["id"]),
    )


def write_answers(file: str, data: TaskData, answers: Sequence[Answer]) -> None:
    """Write the answers to the validation questions, and beside them the null odds."""
    write_predictions(Path(file), labelled_validation(data)["id"], answers)
