"""The report and the card of question answering and of instruction tuning."""

import re

import pytest
from huggingface_hub import ModelCard

from gelora.report import write_card, write_report
from gelora.report.run_files import read_run
from gelora.report.templating import sentence
from gelora.report.text import in_order
from report.example_problems import PROBLEMS, write_example_of

SENTENCES = {
    "question_answering": "The adapter reaches F1 71.23 ± 0.61 on 4,000 validation questions.",
    "instruction_tuning": "The adapter reaches perplexity 5.43 ± 0.06 on 500 validation examples, "
    "against 9.88 ± 0.12 for the model without adapter (lower is better).",
}
CLASSES = {
    "question_answering": "AutoModelForQuestionAnswering",
    "instruction_tuning": "AutoModelForCausalLM",
}
PIPELINES = {"question_answering": "question-answering", "instruction_tuning": "text-generation"}


@pytest.fixture(params=PROBLEMS)
def problem(request):
    return request.param


@pytest.fixture
def run(tmp_path, problem):
    write_example_of(tmp_path, problem)
    (tmp_path / "adapter").mkdir()
    return tmp_path


def test_the_page_opens_with_the_result_in_its_unit(run, problem):
    html = write_report(run).read_text().replace("\u00a0", " ")
    assert SENTENCES[problem] in html
    assert f"{CLASSES[problem]}.from_pretrained" in html
    assert "AutoModelForSequenceClassification" not in html
    assert "frozen encoder" not in html
    assert "Loss" in html


def test_the_card_says_the_same_and_is_found_by_its_problem(run, problem):
    path = write_card(run)
    card = ModelCard.load(path)
    assert SENTENCES[problem] in card.text
    assert f"{CLASSES[problem]}.from_pretrained" in card.text
    assert card.data.pipeline_tag == PIPELINES[problem]
    names = {result.metric_type for result in card.data.eval_results}
    assert names == ({"f1", "exact_match"} if problem == "question_answering" else {"perplexity"})


def test_only_questions_show_how_contexts_are_split(run, problem):
    config = run / "config.yaml"
    config.write_text(config.read_text() + "doc_stride: 128\n")
    shown = "doc_stride: 128" in write_card(run).read_text()
    assert shown == (problem == "question_answering")


def test_parts_follow_the_whole():
    metrics = PROBLEMS["question_answering"]
    assert in_order(metrics) == [
        "f1", "exact_match", "HasAns_f1", "HasAns_exact", "NoAns_f1", "NoAns_exact", "best_f1",
        "best_f1_thresh",
    ]  # fmt: skip
    both = {"headline_metric": "b", "metrics": dict.fromkeys(("accuracy_mismatched", "a", "b"))}
    assert in_order(both) == ["b", "a", "accuracy_mismatched"]


def test_what_the_figures_mean_is_said():
    note = sentence("result_note", PROBLEMS["question_answering"], {})
    assert note.startswith("On the validation questions, ± standard error. F1 and exact match are")
    assert "best threshold was chosen by the questions that it is scored on" in note
    note = sentence("result_note", PROBLEMS["instruction_tuning"], {"load_best_model_at_end": True})
    assert "the same model on the same texts, before training" in note
    assert "The perplexity is of the completions' tokens." in note
    assert "chosen by the same examples, so the result is too good" in note
    typed = {"load_best_model_at_end": "false"}
    assert "too good" not in sentence("result_note", PROBLEMS["instruction_tuning"], typed)


def test_the_head_is_counted_only_where_there_is_one(run, problem):
    text = write_card(run).read_text()
    assert bool(re.search("of the head", text)) == (problem == "question_answering")


def test_the_sentence_is_that_of_the_files(run, problem):
    assert sentence("result", read_run(run).metrics) == SENTENCES[problem]
