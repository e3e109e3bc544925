"""Every problem through the command line: what is measured, trained, compared with and resumed."""

import json
import shutil

import pytest

from gelora.artifacts import METRICS_FILE, PROFILE_FILE, read_json
from gelora.cli import main
from tiny_chats import FORGETFUL, RECOMPUTING, causal_llama, chat_tokenizer, tiny_instructions
from tiny_models import save_tiny, tiny_bert, tiny_tokenizer
from tiny_questions import tiny_questions
from tiny_tasks import write_lines

STEPS = ["--max_steps", "4", "--logging_steps", "1", "--eval_strategy", "steps", "--eval_steps"]
STEPS += ["2", "--save_strategy", "steps", "--save_steps", "2", "--save_total_limit", "9"]
STEPS += ["--max_length", "48", "--use_cpu"]


def flags_for(folder, data, model, tokenizer):
    """Write the model and the data, and name them, the problem and the run's folder."""
    save_tiny(model, tokenizer, folder / "model")
    names = {"text": "question", "text_pair": "context"}
    files = []
    for split in ("train", "validation"):
        rows = getattr(data, split)
        columns = {names.get(name, name): list(rows[name]) for name in rows.column_names}
        files += [f"--{split}_file", str(write_lines(folder / f"{split}.jsonl", **columns))]
    return [
        *("--model_name_or_path", str(folder / "model"), "--task_type", data.problem),
        *("--output_dir", str(folder / "out"), *files, *STEPS),
    ]


@pytest.fixture
def questions(tmp_path):
    flags = flags_for(tmp_path, tiny_questions(), tiny_bert(), tiny_tokenizer())
    return [*flags, "--doc_stride", "16"]


@pytest.fixture
def chats(tmp_path):
    return flags_for(tmp_path, tiny_instructions(num_train=96), causal_llama(), chat_tokenizer())


def metrics_in(tmp_path):
    return read_json(tmp_path / "out" / METRICS_FILE, kind="metrics")


def kill_after_two(folder):
    """Leave what a kill -9 leaves after the checkpoint of step 2."""
    for path in (folder / "adapter", folder / "checkpoint-4"):
        shutil.rmtree(path)
    (folder / METRICS_FILE).unlink()


@pytest.mark.parametrize("name", ["questions", "chats"])
def test_a_run_leaves_its_metrics_and_is_resumed_exactly(name, request, tmp_path, capsys):
    flags = request.getfixturevalue(name)
    assert main(["run", *flags]) == 0
    before = metrics_in(tmp_path)
    weights = tmp_path / "out/adapter/adapter_model.safetensors"
    trained = weights.read_bytes()
    headline = before["headline_metric"]
    assert before["metrics"][headline]["num_samples"] > 10
    assert [entry["step"] for entry in before["history"] if "eval_loss" in entry] == [2, 4]
    assert set(before["baselines"]) == ({"base_model"} if name == "chats" else set())
    kill_after_two(tmp_path / "out")
    assert main(["run", *flags, "--resume_from_checkpoint", "true"]) == 0
    assert weights.read_bytes() == trained
    after = metrics_in(tmp_path)
    for part in ("metrics", "baselines", "history"):
        assert after[part] == before[part]
    capsys.readouterr()
    assert main(["evaluate", "--output_dir", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == before["metrics"]


def test_training_with_other_settings_of_answers_is_another_run(questions, error_of):
    assert main(["run", *questions, "--max_steps", "1"]) == 0
    for name, before, now in (
        ("doc_stride", 16, 8),
        ("n_best_size", 20, 5),
        ("max_answer_length", 30, 9),
        ("null_score_diff_threshold", 0.0, 1.5),
    ):
        error = error_of(["train", *questions, "--max_steps", "1", f"--{name}", str(now)])
        assert f"{name} is {before} there, {now} now" in error


def entries(metrics, prefix):
    return {e["step"]: e for e in metrics["history"] if any(n.startswith(prefix) for n in e)}


def test_chats_are_packed_on_weights_of_4_bits_and_measured_in_training(chats, tmp_path):
    more = ["--load_in_4bit", "--packing", "--dimension_steps", "2", "--precision", "0"]
    assert main(["run", *chats, *more]) == 0
    metrics = metrics_in(tmp_path)
    assert sorted(entries(metrics, "gelora/dimension/")) == [0, 2, 4]
    assert sorted(entries(metrics, "gelora/rank/")) == [0]
    found = entries(metrics, "gelora/dimension/")
    assert found[4] != found[0]
    assert len({e["gelora/dimension/embeddings"] for e in found.values()}) == 1  # not adapted


def test_half_precision_recomputing_and_accumulating_train_questions(questions, tmp_path):
    more = ["--bf16", f"--{RECOMPUTING}", "--gradient_accumulation_steps", "2"]
    assert main(["run", *questions, *more]) == 0
    losses = [e["loss"] for e in metrics_in(tmp_path)["history"] if "loss" in e]
    assert len(losses) == 4


def test_the_checkpoint_of_the_least_perplexity_is_kept_where_it_is_named(chats, tmp_path):
    best = ["--load_best_model_at_end", "--metric_for_best_model", "perplexity"]
    assert main(["run", *chats, "--learning_rate", "0.05", *best]) == 0
    metrics = metrics_in(tmp_path)
    found = [e["eval_perplexity"] for e in metrics["history"] if "eval_perplexity" in e]
    assert found[0] != found[1]
    assert metrics["metrics"]["perplexity"]["value"] == pytest.approx(min(found), rel=1e-4)


@pytest.mark.parametrize("name", ["questions", "chats"])
def test_scores_after_mixed_precision_are_those_of_evaluating_again(name, request, out, capsys):
    flags = request.getfixturevalue(name)
    assert main(["run", *flags, "--bf16", "--learning_rate", "0.05"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "--output_dir", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert found == read_json(out / METRICS_FILE, kind="metrics")["metrics"]


def test_replies_that_no_template_marks_are_refused_before_it_is_measured(chats, out, error_of):
    template = out.parent / "plain.jinja"
    template.write_text(FORGETFUL)
    more = ["--assistant_only_loss", "--chat_template_path", str(template)]
    assert "assistant_only_loss counts replies alone" in error_of(["run", *chats, *more])
    assert not (out / PROFILE_FILE).exists()


def test_a_model_that_is_not_causal_is_refused_before_it_is_measured(chats, tmp_path, error_of):
    save_tiny(tiny_bert(), chat_tokenizer(), tmp_path / "model")
    assert "Instruction tuning needs a causal model" in error_of(["run", *chats])
    assert not (tmp_path / "out" / PROFILE_FILE).exists()
