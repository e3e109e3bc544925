"""Questions in, answers of two turns in FastChat's format out; what is there stays."""

import json
import re
from pathlib import Path

import pytest
import torch

from gelora.errors import (
    ArtifactError,
    ConfigError,
    DataError,
    GeloraWarning,
    OutputExistsError,
    SkippedRowsWarning,
)
from gelora.tasks.instruction_tuning.chats import prompt_tokens
from gelora.tasks.instruction_tuning.mt_bench import (
    TEMPERATURES,
    AnswerFile,
    Question,
    answer_question,
    read_questions,
    warn_of_no_end,
)
from tiny_chats import TEMPLATE, causal_llama, chat, chat_tokenizer
from tiny_tasks import write_lines


def answer(category="math", turns=("w2 w3", "w4"), model=None, **options):
    question = Question(81, category, tuple(turns))
    options = {"max_new_tokens": 4, **options}
    return answer_question(model or causal_llama(), chat_tokenizer(), question, **options)


def test_the_likeliest_tokens_are_taken_where_the_temperature_is_0():
    model, tokenizer = causal_llama(), chat_tokenizer()
    found = answer(model=model)
    messages = []
    for said, told in zip(("w2 w3", "w4"), found, strict=True):
        messages += chat(said)
        tokens = prompt_tokens(tokenizer, [{"prompt": messages}])[0]
        start = len(tokens)
        with torch.no_grad():
            while len(tokens) < start + 4 and tokens[-1] != tokenizer.eos_token_id:
                tokens.append(model(torch.tensor([tokens])).logits[0, -1].argmax().item())
        assert told == tokenizer.decode(tokens[start:], skip_special_tokens=True).strip()
        messages += chat("", told)[1:]


def test_a_draw_follows_the_seed_and_leaves_the_random_state():
    state = torch.random.get_rng_state()
    drawn = {tuple(answer("writing", seed=seed)) for seed in (0, 0, 1, 2)}
    assert 1 < len(drawn) <= 3
    assert answer("writing", seed=1) == answer("writing", seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_temperatures_are_fastchat_s():
    assert Question(1, "stem", ("w2",)).temperature == 0.1
    assert Question(1, "of mine", ("w2",)).temperature == 0.7
    assert sorted(TEMPERATURES.values()) == [0.0] * 4 + [0.1] * 2 + [0.7] * 2


@pytest.mark.parametrize("known", [None, 9, [9, 10]])
def test_an_answer_ends_at_the_model_s_end_and_at_the_tokenizer_s(known):
    model, tokenizer = causal_llama(), chat_tokenizer()
    model.generation_config.eos_token_id = known
    whole = answer(model=model, turns=["w2"])[0].split()
    assert len(whole) == 4
    assert whole[2] not in whole[:2]
    third = tokenizer.convert_tokens_to_ids(whole[2])
    model.generation_config.eos_token_id = [third]
    assert answer(model=model, turns=["w2"]) == [" ".join(whole[:2])]
    tokenizer.eos_token_id = third
    model.generation_config.eos_token_id = known
    question = Question(81, "math", ("w2",))
    found = answer_question(model, tokenizer, question, max_new_tokens=4)
    assert found == [" ".join(whole[:2])]


@pytest.mark.parametrize("special", [True, False])
def test_an_answer_ends_where_the_template_ends_a_reply(special):
    whole = answer(turns=["w2"])[0].split()
    assert whole[2] not in whole[:2]
    tokenizer = chat_tokenizer(template=TEMPLATE.replace("[SEP]", f"{whole[2]} w3"))
    question = Question(81, "math", ("w2",))
    with pytest.warns(GeloraWarning, match=re.escape(f"by '{whole[2]} w3', which is no special")):
        warn_of_no_end(tokenizer)
    assert answer_question(causal_llama(), tokenizer, question, max_new_tokens=4) == [
        " ".join(whole)
    ]
    tokenizer.add_tokens([whole[2]], special_tokens=special)
    warn_of_no_end(tokenizer)
    assert answer_question(causal_llama(), tokenizer, question, max_new_tokens=4) == [
        " ".join(whole[:2])
    ]


def test_a_template_that_ends_replies_by_nothing_is_warned_of():
    with pytest.warns(GeloraWarning, match=re.escape("ends a reply by '', which is no special")):
        warn_of_no_end(chat_tokenizer(template=TEMPLATE.replace("[SEP]", "")))
    warn_of_no_end(chat_tokenizer())


def test_a_template_that_refuses_a_reply_is_named():
    refusing = "{{ raise_exception('only with a system') }}"
    said = "chat template refuses a question with a reply, which .*: only with a system"
    with pytest.raises(ConfigError, match=said):
        warn_of_no_end(chat_tokenizer(template=refusing))


def test_each_turn_has_its_part_of_a_short_context():
    model, tokenizer = causal_llama(), chat_tokenizer()
    first, _ = answer(model=model, max_new_tokens=1000)
    assert len(tokenizer(first, add_special_tokens=False)["input_ids"]) <= 64 // 2 - 4
    message = "Turn 1 of question 81 is 42 tokens long, which leaves no room .* the model's 64"
    with pytest.warns(SkippedRowsWarning, match=message):
        found = answer(turns=("w2 " * 40, "w3"), model=model)
    assert found[0] == ""
    assert found[1]


def questions(folder, **changes):
    columns = {"question_id": [81, 82], "category": ["math", None], "turns": [["w2", "w3"], ["w4"]]}
    columns = {name: values for name, values in {**columns, **changes}.items() if values}
    return write_lines(folder / "question.jsonl", **columns)


def test_questions_are_read(tmp_path):
    assert read_questions(questions(tmp_path)) == [
        Question(81, "math", ("w2", "w3")),
        Question(82, "", ("w4",)),
    ]
    assert [q.category for q in read_questions(questions(tmp_path, category=None))] == ["", ""]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"turns": None}, "question.jsonl has no 'turns' of MT-Bench's questions: 'question_id'"),
        ({"turns": ["w2", ["w3"]]}, "The turns of question 81 of question.jsonl are no list of te"),
        (
            {"turns": [["w2"], []]},
            "The turns of question 82 of question.jsonl are no list of texts",
        ),
        ({"turns": [["w2", " "], ["w3"]]}, "The turns of question 81"),
        ({"question_id": [81, 81]}, "question.jsonl has two questions of id 81."),
        ({"question_id": [None, 81]}, "Row 1 of question.jsonl has None for a question_id."),
    ],
)
def test_questions_that_are_none_are_refused(changes, message, tmp_path):
    with pytest.raises(DataError, match=re.escape(message)):
        read_questions(questions(tmp_path, **changes))


def test_a_tokenizer_without_a_template_is_refused():
    with pytest.raises(ConfigError, match="no chat template"):
        answer_question(causal_llama(), chat_tokenizer(template=None), Question(1, "", ("w2",)))


def test_a_line_is_as_fastchat_reads_it(tmp_path):
    file = AnswerFile(tmp_path / "model_answer" / "mine.jsonl", {"seed": 1})
    file.append(81, ["één", "two"])
    (line,) = map(json.loads, file.path.read_text(encoding="utf-8").splitlines())
    assert line["question_id"] == 81
    assert line["model_id"] == "mine"
    assert line["choices"] == [{"index": 0, "turns": ["één", "two"]}]
    assert isinstance(line["answer_id"], str)
    assert isinstance(line["tstamp"], float)


def test_answers_stay_and_half_a_line_goes(tmp_path):
    file = AnswerFile(tmp_path / "mine.jsonl", {"seed": 1})
    assert file.answered() == set()
    file.append(81, ["a", "b"])
    file.append("x", ["c", "d"])
    whole = file.path.read_text()
    with file.path.open("a") as stream:
        stream.write('{"question_id": 83, "cho')
    assert file.answered() == {81, "x"}
    assert file.path.read_text() == whole


def test_a_line_that_stopped_within_a_character_goes(tmp_path):
    file = AnswerFile(tmp_path / "mine.jsonl", {})
    file.append(81, ["a", "b"])
    whole = file.path.read_bytes()
    file.append(82, ["é"])
    torn = file.path.read_bytes().partition("é".encode())[0]
    file.path.write_bytes(torn + "é".encode()[:1])
    assert file.answered() == {81}
    assert file.path.read_bytes() == whole
    file.path.write_bytes(b"\xff\n")
    with pytest.raises(ArtifactError, match=re.escape("mine.jsonl is no file of answers: 'utf-8'")):
        file.answered()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_wherever_a_line_was_torn_it_goes(cut, tmp_path):
    file = AnswerFile(tmp_path / "mine.jsonl", {})
    file.append(81, ["a", "b"])
    whole = file.path.read_bytes()
    file.path.write_bytes(whole + whole[:cut])
    assert file.answered() == {81}
    assert file.path.read_bytes() == whole


def test_a_line_that_lacks_its_end_alone_stays(tmp_path):
    file = AnswerFile(tmp_path / "mine.jsonl", {})
    file.append(81, ["a", "b"])
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[:-1])
    assert file.answered() == {81}
    assert file.path.read_bytes() == whole


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize(
    "text", ["{x", "[1]", '"a"', "{}", "4", "words", '{"question_id": 81, "turns": ["a"]}']
)
def test_a_file_of_something_else_is_refused_and_not_replaced(text, end, tmp_path):
    file = AnswerFile(tmp_path / "mine.jsonl", {})
    file.path.write_text(text + end)
    for method in (file.answered, file.remove):
        with pytest.raises(ArtifactError, match="Line 1 of .* is no answer to a question"):
            method()
    assert file.path.read_text() == text + end


def test_answers_are_removed_whoever_made_them(tmp_path):
    path = tmp_path / "mine.jsonl"
    AnswerFile(path, {"seed": 1}).append(81, ["a"])
    AnswerFile(path, {"seed": 2}).remove()
    assert not path.exists()
    AnswerFile(path, {}).remove()


def test_answers_by_other_settings_are_refused(tmp_path):
    path = Path(tmp_path / "mine.jsonl")
    AnswerFile(path, {"seed": 1}).append(81, ["a"])
    message = "was made by {'seed': 1}, and these answers would be by {'seed': 2}: name another"
    with pytest.raises(OutputExistsError, match=re.escape(message)):
        AnswerFile(path, {"seed": 2}).answered()
