"""Every problem of the table through one door: files, splits, limits, and what is refused."""

import datasets
import pytest

from gelora.errors import ConfigError, DataError
from gelora.tasks import LABEL_COLUMNS, load_task_data, loading
from gelora.tasks.known import TASKS
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings
from gelora.tasks.tables import Table, Tables
from tiny_tasks import write_lines

CONTEXTS = [f"w{row} w{row + 1} w{row + 2}" for row in range(20)]


def task_file(folder, name: str):
    """Write twenty rows in the task's own columns, and return the file."""
    task = TASKS[name]
    columns = {column: list(CONTEXTS) for column in task.text_columns}
    if task.problem == "question_answering":
        columns["id"] = [str(row) for row in range(20)]
        columns["answers"] = [{"text": [c.split()[0]], "answer_start": [0]} for c in CONTEXTS]
    elif task.problem == "instruction_tuning":
        columns[task.label_column] = list(CONTEXTS)
    elif task.problem == "regression":
        columns[task.label_column] = [row / 4 for row in range(20)]
    else:
        columns[task.label_column] = [row % task.num_labels for row in range(20)]
    return write_lines(folder / f"{name}.jsonl", **columns)


WITH_ANSWERS = [name for name, task in TASKS.items() if task.metrics]


@pytest.mark.parametrize("name", WITH_ANSWERS)
def test_every_task_is_read_from_files_in_its_own_columns(tmp_path, name):
    path, task = task_file(tmp_path, name), TASKS[name]
    data = load_task_data(task_name=name, train_file=path, validation_file=path)
    assert (len(data.train), len(data.validation)) == (20, 20)
    assert (data.problem, data.num_labels) == (task.problem, task.num_labels)
    assert (data.metrics, data.headline_metric) == (task.metrics, task.headline_metric)
    assert LABEL_COLUMNS[data.problem] in data.train.column_names
    assert data.more_validation == {}


@pytest.mark.parametrize("name", WITH_ANSWERS)
def test_limits_and_rows_held_out_are_the_same_for_every_problem(tmp_path, name):
    path = task_file(tmp_path, name)
    data = load_task_data(task_name=name, train_file=path, max_train_samples=7, seed=3)
    assert (len(data.train), len(data.validation)) == (7, 2)
    again = load_task_data(task_name=name, train_file=path, max_train_samples=7, seed=3)
    assert data.train.to_list() == again.train.to_list()
    limited = load_task_data(
        task_name=name, train_file=path, validation_file=path, max_eval_samples=5
    )
    assert len(limited.validation) == 5


@pytest.mark.parametrize("name", WITH_ANSWERS)
def test_a_validation_file_alone_is_enough_to_evaluate_a_task(tmp_path, name):
    path = task_file(tmp_path, name)
    with pytest.raises(ConfigError, match=rf"validation_file \({path}\) needs a train_file"):
        load_task_data(task_name=name, validation_file=path)
    files = {"train_file": tmp_path / "gone.jsonl", "validation_file": path}
    data = load_task_data(task_name=name, **files, train_required=False)
    both = load_task_data(task_name=name, train_file=path, validation_file=path)
    assert (len(data.train), data.name) == (0, name)
    assert data.validation.to_list() == both.validation.to_list()
    assert (data.num_labels, data.label_names) == (both.num_labels, both.label_names)


def test_without_a_task_the_training_rows_tell_which_classes_there_are(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", text=["w1", "w2"], label=["no", "yes"])
    with pytest.raises(ConfigError, match="Which classes .* told by the training rows: name their"):
        load_task_data(validation_file=path, train_required=False)
    path = write_lines(tmp_path / "b.jsonl", text=["w1", "w2"], label=[1, 2])
    data = load_task_data(validation_file=path, train_required=False, task_type="regression")
    assert (data.name, data.validation["label"][:]) == ("b", [1.0, 2.0])


def test_mnli_has_two_sets_to_evaluate_on(tmp_path):
    path = task_file(tmp_path, "mnli")
    other = write_lines(
        tmp_path / "mm.jsonl", premise=["w1"] * 3, hypothesis=["w2"] * 3, label=[2, 0, -1]
    )
    files = {"train_file": path, "validation_file": path, "validation_mismatched_file": other}
    with pytest.warns(
        UserWarning, match="'label' of mm.jsonl has no label in 1 of 3 rows, which hold -1"
    ):
        data = load_task_data(task_name="mnli", **files, max_eval_samples=15)
    assert data.label_names == ("entailment", "neutral", "contradiction")
    assert (len(data.validation), list(data.more_validation)) == (15, ["mismatched"])
    assert data.more_validation["mismatched"]["label"][:] == [2, 0]
    assert data.provenance["mismatched"]["file"] == "mm.jsonl"
    with pytest.warns(UserWarning, match="1 of 3 rows"):
        data = load_task_data(task_name="mnli", **files, max_eval_samples=1)
    assert (len(data.validation), len(data.more_validation["mismatched"])) == (1, 1)
    with pytest.raises(ConfigError, match=r"\(.*mm.jsonl\) needs a validation_file beside it"):
        load_task_data(task_name="mnli", train_file=path, validation_mismatched_file=other)
    with pytest.raises(ConfigError, match=r"\(.*mm.jsonl\) is for the task mnli, which alone"):
        load_task_data(task_name="rte", **files)


def test_a_task_is_asked_of_the_hub_where_the_table_says(monkeypatch):
    calls = []

    def read_split(*arguments):
        calls.append(arguments)
        columns = {"premise": ["w1"] * 6, "hypothesis": ["w2"] * 6, "label": [0, 1, 2] * 2}
        splits = ("train", *TASKS["mnli"].validation_splits)
        return Table("hub", columns, ("premise", "hypothesis"), {}, splits=splits)

    monkeypatch.setattr(loading, "read_split", read_split)
    data = load_task_data(task_name="mnli")
    mnli = ("nyu-mll/glue", "mnli")
    splits = ("train", "validation_mismatched", "validation_matched")
    assert calls == [(*mnli, split) for split in splits]
    assert list(data.more_validation) == ["mismatched"]
    data = load_task_data(task_name="mnli", dataset_test_split="validation_mismatched")
    assert calls[3:] == [(*mnli, "train"), (*mnli, "validation_mismatched")]
    assert data.more_validation == {}


@pytest.mark.parametrize("name", ["squad", "alpaca", "stsb"])
def test_a_data_set_gives_what_the_same_file_gives(tmp_path, monkeypatch, name):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "mine").mkdir()
    path = task_file(tmp_path, name).rename(tmp_path / "mine" / "train.jsonl")
    of_file = load_task_data(task_name=name, train_file=path)
    of_data_set = load_task_data(task_name=name, dataset_name=str(tmp_path / "mine"))
    assert of_data_set.train.to_list() == of_file.train.to_list()
    assert of_data_set.validation.to_list() == of_file.validation.to_list()


def test_no_table_at_all_is_refused():
    with pytest.raises(DataError, match="mine has neither training nor validation rows"):
        Tables("mine", None, None).first  # noqa: B018


@pytest.mark.parametrize("name", ["squad", "squad_v2"])
def test_settings_of_question_answering_are_kept_and_completed(tmp_path, name):
    path = task_file(tmp_path, name)
    settings = QuestionAnsweringSettings(doc_stride=7)
    data = load_task_data(task_name=name, train_file=path, question_answering=settings)
    assert data.question_answering == QuestionAnsweringSettings(name == "squad_v2", doc_stride=7)
    assert (
        load_task_data(task_name="agreement", question_answering=settings).question_answering
        is None
    )


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (("question", "context", "answers"), "question_answering"),
        (("messages", "origin"), "instruction_tuning"),
        (("conversations",), "instruction_tuning"),
        (("prompt", "completion"), "instruction_tuning"),
        (("instruction", "input", "output"), "instruction_tuning"),
    ],
)
@pytest.mark.parametrize("labels_required", [True, False])
def test_rows_of_another_problem_are_recognised(tmp_path, columns, problem, labels_required):
    path = write_lines(tmp_path / "a.jsonl", **{name: ["w1", "w2"] for name in columns})
    message = rf"a.jsonl has no labels but '{columns[0]}'.*: set task_type to {problem}, or name"
    with pytest.raises(ConfigError, match=message):
        load_task_data(train_file=path, labels_required=labels_required)


def test_named_columns_and_labels_are_taken_whatever_else_there_is(tmp_path):
    columns = {"prompt": ["w1", "w2"], "completion": ["w3", "w4"]}
    path = write_lines(tmp_path / "a.jsonl", **columns)
    data = load_task_data(train_file=path, text_columns=["prompt"], labels_required=False)
    assert sorted([*data.train["text"], *data.validation["text"]]) == ["w1", "w2"]
    path = write_lines(tmp_path / "b.jsonl", **columns, label=[0, 1])
    with pytest.raises(DataError, match="Which columns of b.jsonl hold the texts cannot be told"):
        load_task_data(train_file=path)
    data = load_task_data(train_file=path, validation_file=path, text_columns=["prompt"])
    assert (data.problem, data.num_labels) == ("classification", 2)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mnli", "texts, 3 classes (entailment, neutral, contradiction)"),
        ("stsb", "texts, numbers to predict"),
        ("squad", "questions, answers to find"),
        ("alpaca", "examples, completions to learn"),
    ],
)
def test_what_was_read_is_said_for_every_problem(tmp_path, caplog, name, said):
    path = task_file(tmp_path, name)
    caplog.set_level("INFO", logger="gelora")
    load_task_data(task_name=name, train_file=path, validation_file=path)
    assert caplog.messages == [f"{name}.jsonl: 20 {said}; 20 to validate on"]


def test_what_has_no_answers_or_no_such_columns_is_refused(tmp_path):
    path = task_file(tmp_path, "squad")
    with pytest.raises(ConfigError, match="mt_bench holds questions alone, .* gelora evaluate, wh"):
        load_task_data(task_name="mt_bench", train_file=path)
    with pytest.raises(ConfigError, match="label_column is not for question answering, which read"):
        load_task_data(task_name="squad", train_file=path, label_column="answers")


def test_labels_beyond_the_task_s_are_named_with_its_own(tmp_path):
    path = write_lines(
        tmp_path / "a.jsonl", premise=["w1"] * 4, hypothesis=["w2"] * 4, label=[0, 1, 2, 3]
    )
    with pytest.raises(
        DataError,
        match=r"a.jsonl has labels that are no class: '3'; the classes are 'entailment' \(0\), "
        r"'neutral' \(1\), 'contradiction' \(2\)\.",
    ):
        load_task_data(task_name="mnli", train_file=path)
