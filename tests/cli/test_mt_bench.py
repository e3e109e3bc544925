"""`gelora evaluate --task mt_bench`: answers are written once, and go on where they stopped."""

import json

import pytest

from example_profiles import profile_of
from gelora.artifacts import ADAPTER_FOLDER
from gelora.cli import main
from gelora.ranks import plan_ranks
from gelora.training import wrap
from tiny_chats import TEMPLATE, causal_llama, chat_tokenizer
from tiny_models import save_tiny
from tiny_tasks import write_lines


@pytest.fixture
def run(tmp_path):
    """Write a model, an adapter for it and three questions, and return the command's words."""
    model = causal_llama()
    folder = save_tiny(model, chat_tokenizer(), tmp_path / "model")
    model.name_or_path = str(folder)
    wrapped = wrap(model, plan_ranks(profile_of(model)), "instruction_tuning")
    wrapped.save_pretrained(str(tmp_path / "run" / ADAPTER_FOLDER), save_embedding_layers=False)
    file = write_lines(
        tmp_path / "question.jsonl",
        question_id=[81, 82, 83],
        category=["math", "writing", "stem"],
        turns=[["w2 w3", "w4"]] * 3,
    )
    flags = ["--output_dir", str(tmp_path / "run"), "--validation_file", str(file)]
    return ["evaluate", "--task", "mt_bench", *flags, "--max_new_tokens", "5"]


@pytest.fixture
def answers(tmp_path):
    return tmp_path / "run" / "model_answer" / "run.jsonl"


def test_every_question_is_answered_in_two_turns(run, answers, capsys):
    assert main(run) == 0
    said = capsys.readouterr().out
    assert said.rstrip() == f"3 questions are answered in {answers}, 3 of them now."
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    assert [line["question_id"] for line in lines] == [81, 82, 83]
    assert {line["model_id"] for line in lines} == {"run"}
    assert all(len(line["choices"][0]["turns"]) == 2 for line in lines)


def test_a_stopped_run_goes_on_to_the_same_answers(run, answers, capsys):
    assert main(run) == 0
    lines = answers.read_text().splitlines(keepends=True)
    answers.write_text(lines[0] + lines[1][:40])
    capsys.readouterr()
    assert main([*run, "--json"]) == 0
    payload = json.loads(capsys.readouterr().out)
    assert payload["answered_now"] == 2

    def said(line):
        return {name: value for name, value in json.loads(line).items() if name != "tstamp"}

    assert list(map(said, answers.read_text().splitlines())) == list(map(said, lines))


def test_no_model_is_loaded_where_all_is_answered(run, answers, tmp_path, capsys):
    model = str(tmp_path / "model")
    assert main([*run, "--model_name_or_path", model]) == 0
    before = answers.read_text()
    (tmp_path / "model" / "model.safetensors").unlink()
    capsys.readouterr()
    assert main([*run, "--model_name_or_path", model]) == 0
    assert "0 of them now" in capsys.readouterr().out
    assert answers.read_text() == before


def test_a_few_questions_can_be_answered_in_a_file_of_one_s_own(run, tmp_path):
    path = tmp_path / "other.jsonl"
    assert main([*run, "--max_eval_samples", "1", "--answer_file", str(path)]) == 0
    assert len(path.read_text().splitlines()) == 1
    assert json.loads(path.read_text())["model_id"] == "other"


def test_answers_by_another_seed_are_not_mixed_in(run, answers, error_of):
    assert main(run) == 0
    before = answers.read_text()
    assert f"Line 1 of {answers} was made by" in error_of([*run, "--seed", "5"])
    assert answers.read_text() == before
    assert main([*run, "--seed", "5", "--overwrite"]) == 0
    assert answers.read_text() != before


def test_answers_of_another_length_are_not_mixed_in(run, answers, error_of):
    assert main(run) == 0
    assert "'max_new_tokens': 5" in error_of([*run, "--max_new_tokens", "6"])


def test_what_is_no_file_of_answers_is_replaced_by_no_flag(run, tmp_path, error_of):
    for name, text in (("gold.json", '{"data": []}'), ("notes.txt", "mine"), ("q.jsonl", None)):
        path = tmp_path / name
        path.write_text((tmp_path / "question.jsonl").read_text() if text is None else text)
        before = path.read_text()
        for more in ([], ["--overwrite"]):
            error = error_of([*run, "--answer_file", str(path), *more])
            assert f"Line 1 of {path} is no answer to a question" in error
        assert path.read_text() == before


def test_answers_by_another_template_or_precision_are_not_mixed_in(run, tmp_path, error_of):
    assert main([*run, "--max_eval_samples", "1"]) == 0
    template = tmp_path / "chat.jinja"
    template.write_text(TEMPLATE.replace("w1 ", "w9 "))
    for more in (["--chat_template_path", str(template)], ["--dtype", "bfloat16"]):
        assert "was made by" in error_of([*run, *more])
    template.write_text(TEMPLATE)  # another file, but the same template
    assert main([*run, "--chat_template_path", str(template)]) == 0


def test_a_template_whose_replies_end_by_words_is_warned_of_once(run, tmp_path, capsys):
    template = tmp_path / "chat.jinja"
    template.write_text(TEMPLATE.replace("[SEP]", "w59"))
    assert main([*run, "--chat_template_path", str(template)]) == 0
    assert capsys.readouterr().err.count("ends a reply by 'w59', which is no special token") == 1


def test_what_is_missing_is_named(run, tmp_path, error_of):
    place = run.index("--validation_file")
    without = run[:place] + run[place + 2 :]
    assert "mt_bench needs its questions: --validation_file question.jsonl." in error_of(without)
    (tmp_path / "run" / ADAPTER_FOLDER / "adapter_model.safetensors").unlink()
    assert f"{tmp_path / 'run' / ADAPTER_FOLDER} holds no adapter" in error_of(run)


def test_several_processes_are_refused(run, monkeypatch, error_of):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "mt_bench is answered by one process, and 2 were launched" in error_of(run)
