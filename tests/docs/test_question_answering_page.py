"""What docs/question-answering.md names is what there is."""

import re
from dataclasses import fields
from pathlib import Path

from transformers import TrainingArguments

from gelora.cli.config import FLAGS
from gelora.tasks.question_answering.scoring import answer_metrics
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings

PAGE = (Path(__file__).parents[2] / "docs/question-answering.md").read_text()


def test_every_metric_stands_in_the_table():
    rows = re.findall(r"^\| (`.*?) \|", PAGE, flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    odds = {"null_odds": [0.0, 1.0]}
    assert named == answer_metrics(["cat", ""], [["cat"], []], version_2=True, **odds).keys()


def test_every_flag_exists_and_every_setting_is_explained():
    flags = set(re.findall(r"--(\w+)", PAGE))
    theirs = {field.name for field in fields(TrainingArguments)}
    assert flags - theirs <= FLAGS.keys() | {"task"}
    assert {field.name for field in fields(QuestionAnsweringSettings)} <= flags
