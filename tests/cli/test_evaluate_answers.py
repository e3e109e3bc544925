"""`gelora evaluate` and questions: a model's answers, or those in a file, scored the same way."""

import json
import shutil
from dataclasses import asdict

import pytest

from gelora.cli import main
from gelora.tasks.question_answering.scoring import answer_metrics
from tiny_questions import tiny_questions
from tiny_tasks import write_lines

ANSWERS = {"q0": "The mat!", "q1": "", "q2": "a dog"}
GOLDS = [["the mat", "mat"], [], ["cat"]]


@pytest.fixture
def asked(tmp_path):
    """Return the flags that name three questions of SQuAD 2.0, and a file of answers to them."""
    file = write_lines(
        tmp_path / "dev.jsonl",
        id=list(ANSWERS),
        question=["Where?"] * 3,
        context=["The cat sat on the mat."] * 3,
        answers=[{"text": gold, "answer_start": [0] * len(gold)} for gold in GOLDS],
    )
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps(ANSWERS))
    return ["--validation_file", str(file), "--predictions", str(answers)]


def test_a_file_of_answers_is_scored_without_a_model(asked, tmp_path, capsys):
    odds = tmp_path / "odds.json"
    odds.write_text(json.dumps({"q0": 0.1, "q1": 0.2, "q2": 0.9}))
    flags = ["--task", "squad_v2", "--na_prob_file", str(odds), "--json"]
    assert main(["evaluate", *asked, *flags]) == 0
    output = capsys.readouterr()
    assert "dev.jsonl: answers to find; 3 to validate on" in output.err
    found = json.loads(output.out)
    golds, given = GOLDS, list(ANSWERS.values())
    expected = answer_metrics(given, golds, version_2=True, null_odds=[0.1, 0.2, 0.9])
    assert found["metrics"] == {name: asdict(metric) for name, metric in expected.items()}
    assert found["metrics"]["exact_match"]["value"] == pytest.approx(200 / 3)
    assert found["metrics"]["best_f1"]["value"] == pytest.approx(200 / 3)
    assert {path.name for path in tmp_path.iterdir()} == {"dev.jsonl", "answers.json", "odds.json"}


def test_the_kind_of_data_may_be_named_instead_of_a_task(asked, capsys):
    assert main(["evaluate", *asked, "--task_type", "question_answering"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["metric", "answers", "questions"]
    assert [line.split("  ")[0] for line in lines[1:]] == [
        *("F1", "exact match", "F1, answerable", "exact match, answerable"),
        *("F1, unanswerable", "exact match, unanswerable"),
    ]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--task", "squad"], "has no answer for 1 of 3 questions (ids q1), and in SQuAD 1.1 each"),
        (
            ["--task", "cola"],
            "--predictions {file} is for answers to questions, and cola is a classification: add",
        ),
        (
            ["--task", "squad_v2", "--answer_file", "x.json"],
            "--predictions {file} holds the answers, so --answer_file x.json is not used: leave",
        ),
        (
            ["--task", "squad_v2", "--adapter", "run/adapter"],
            "--predictions {file} holds the answers, so --adapter run/adapter is not used: leave",
        ),
    ],
)
def test_flags_that_do_not_go_with_a_file_of_answers(asked, more, message, error_of):
    assert message.format(file=asked[-1]) in error_of(["evaluate", *asked, *more])


def test_what_the_messages_advise_is_taken(asked, error_of, capsys):
    error = error_of(["evaluate", *asked, "--task", "squad"])
    assert "add --version_2_with_negative true" in error
    capsys.readouterr()
    assert main(["evaluate", *asked, "--task", "squad", "--version_2_with_negative", "true"]) == 0
    assert "F1, unanswerable" in capsys.readouterr().out


def test_odds_need_answers_and_questions_without_one(asked, tmp_path, error_of):
    odds = ["--na_prob_file", "odds.json"]
    error = error_of(["evaluate", *asked[:2], "--task", "squad_v2", *odds])
    assert "--na_prob_file odds.json belongs to a file of answers: name that as --pred" in error
    rows = {"question": ["Who?"] * 2, "context": ["A cat."] * 2}
    answers = [{"text": ["cat"], "answer_start": [2]}] * 2
    file = write_lines(tmp_path / "one.jsonl", id=["q0", "q2"], **rows, answers=answers)
    error = error_of(
        ["evaluate", *asked[2:], "--validation_file", str(file), "--task", "squad", *odds]
    )
    assert "--na_prob_file odds.json is about questions without an answer, and squad has" in error


@pytest.fixture(scope="module")
def answering(model_folder, tmp_path_factory):
    """Run all of it on questions, some without an answer; return the flags and the run's folder."""
    folder, data = tmp_path_factory.mktemp("answering"), tiny_questions(version_2=True)
    files = []
    for name, split in (("train", data.train), ("validation", data.validation)):
        columns = split.to_dict()
        rows = {"question": columns.pop("text"), "context": columns.pop("text_pair"), **columns}
        files.append(str(write_lines(folder / f"{name}.jsonl", **rows)))
    flags = [
        *("--train_file", files[0], "--validation_file", files[1], "--task", "squad_v2"),
        *("--model_name_or_path", str(model_folder), "--output_dir", str(folder / "run")),
        *("--max_length", "20", "--doc_stride", "4"),
    ]
    quick = ["--max_steps", "2", "--save_strategy", "no", "--eval_strategy", "steps", "--use_cpu"]
    assert main(["run", *flags, *quick, "--eval_steps", "1", "--num_samples", "60"]) == 0
    return flags, folder / "run"


def shown(command, capsys):
    capsys.readouterr()
    assert main(["evaluate", *command, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["metrics"]


def test_a_run_leaves_what_evaluating_again_finds(answering, capsys):
    _, run = answering
    metrics = json.loads((run / "metrics.json").read_text())
    again = shown(["--output_dir", str(run)], capsys)
    assert again == metrics["metrics"]
    assert {"HasAns_f1", "NoAns_exact", "best_f1_thresh"} <= again.keys()
    assert sum("eval_f1" in entry for entry in metrics["history"]) == 2
    assert (run / "report.html").stat().st_size > 1000


def test_answers_that_are_written_score_as_the_model_that_gave_them(answering, tmp_path, capsys):
    flags, run = answering
    file = tmp_path / "answers.json"
    model = shown(["--output_dir", str(run), "--answer_file", str(file)], capsys)
    scored = shown([*flags[2:6], "--predictions", str(file)], capsys)
    assert scored == {name: model[name] for name in scored}
    assert scored["f1"]["num_samples"] == 40
    odds = ["--na_prob_file", str(tmp_path / "answers_null_odds.json")]
    assert "best_f1" in shown([*flags[2:6], "--predictions", str(file), *odds], capsys)


def test_a_file_that_is_there_is_not_written_over_unasked(answering, tmp_path, error_of, capsys):
    _, run = answering
    file, odds = tmp_path / "answers.json", tmp_path / "answers_null_odds.json"
    command = ["evaluate", "--output_dir", str(run), "--answer_file", str(file)]
    for there in (file, odds):
        there.write_text("of mine")
        said = f"{there} exists already: name another --answer_file, or add --overwrite."
        assert said in error_of(command)
        assert there.read_text() == "of mine"
        there.unlink()
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"The answers are in {file}, their null odds in {odds}."
    assert lines[0].endswith("questions")
    before = file.read_text()
    assert main([*command, "--overwrite", "--max_eval_samples", "5"]) == 0
    assert len(json.loads(file.read_text())) == 5 < len(json.loads(before))


@pytest.mark.parametrize("task_type", [None, "QUESTION_ANS", "CAUSAL_LM"])
def test_an_adapter_of_another_problem_is_refused(
    task_type, answering, data_files, tmp_path, error_of
):
    flags, run = answering
    alone = tmp_path / "alone"
    shutil.copytree(run / "adapter", alone)
    config = json.loads((alone / "adapter_config.json").read_text())
    trained = task_type or config["auto_mapping"]["base_model_class"]
    assert trained in (task_type, "BertForQuestionAnswering")
    (alone / "adapter_config.json").write_text(json.dumps({**config, "task_type": task_type}))
    columns = ["--text_columns", "sentence", "--label_column", "kind"]
    texts = ["--train_file", str(data_files[0]), "--validation_file", str(data_files[1]), *columns]
    said = f"The adapter in {alone} was trained for {trained}, and "
    adapter = ["--adapter", str(alone), *flags[6:8]]
    error = error_of(["evaluate", *adapter, *texts])
    assert f"{said}train (classification) needs BertForSequenceClassification: " in error
    if task_type == "CAUSAL_LM":
        error = error_of(["evaluate", *adapter, *flags[:6]])
        assert f"{said}squad_v2 (question_answering) needs BertForQuestionAnswering: " in error
