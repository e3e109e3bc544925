"""`gelora inspect` says before a run what the run then does, and writes nothing."""

import json

import pytest

from gelora.artifacts import METRICS_FILE, PLAN_FILE
from gelora.cli import main
from gelora.cli.inspect import size
from tiny_models import save_tiny, tiny_llama, tiny_tokenizer


def inspect(arguments, capsys):
    capsys.readouterr()
    assert main(["inspect", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_is_said_before_a_run_is_what_the_run_does(flags, out, capsys):
    more = [*flags, "--budget", "r=3", "--num_train_epochs", "2", "--learning_rate", "0.002"]
    more += ["--per_device_train_batch_size", "10", "--gradient_accumulation_steps", "2"]
    found = inspect(more, capsys)
    assert not out.exists()
    assert main(["run", *more, "--quiet"]) == 0
    plan, metrics = (json.loads((out / name).read_text()) for name in (PLAN_FILE, METRICS_FILE))
    assert found["data"]["rows"] == {"train": 96, "validation": 40}
    assert sum(found["data"]["classes"].values()) == 96
    assert found["adapter"]["parameters_at_rank"] == {"3": plan["trainable_parameters"]}
    assert found["adapter"]["modules"] == len(plan["modules"])
    assert found["model"]["new_head_parameters"] == metrics["trainable_parameters"]["head"]
    steps = max(entry["step"] for entry in metrics["history"] if "step" in entry)
    assert found["training"] == {
        "rows": 96,
        "batch": 20,
        "steps": steps,
        "epochs": 2.0,
        "learning_rate": 0.002,
        "is_packed": False,
    }
    saved = sum(path.stat().st_size for path in (out / "adapter").glob("*.safetensors"))
    assert 0 <= saved - found["disk"]["adapter"]["3"] < 10_000  # names and shapes come on top
    assert len(list(out.glob("checkpoint-*"))) == found["disk"]["checkpoints"]


def test_texts_that_are_cut_are_counted(flags, capsys):
    whole = inspect(flags, capsys)["tokens"]
    assert whole["cut"] == 0
    cut = inspect([*flags, "--max_length", str(whole["longest"] - 1)], capsys)["tokens"]
    assert 0 < cut["cut"] < cut["texts"] == 96
    assert cut["limit"] == whole["longest"] - 1
    shortest = inspect([*flags, "--max_length", "3"], capsys)["tokens"]
    assert shortest["cut"] == 96


def test_the_text_says_all_of_it_in_words(flags, out, capsys):
    assert main(["inspect", *flags, "--target_modules", "all-linear"]) == 0
    said = capsys.readouterr().out
    for words in ("rows: train 96, validation 40", "18 modules: 3 query", "at rank 8"):
        assert words in said
    assert said.rstrip().endswith("Nothing was measured or written: gelora run does it.")
    assert not out.exists()


def test_chats_and_questions_are_inspected(tmp_path, capsys):
    rows = [{"prompt": "w1 w2", "completion": f"w{i} w4 w5"} for i in range(30)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    causal = str(save_tiny(tiny_llama(), tiny_tokenizer(), tmp_path / "llama"))
    flags = ["--train_file", str(tmp_path / "a.jsonl"), "--model_name_or_path", causal]
    found = inspect([*flags, "--task_type", "instruction_tuning"], capsys)
    assert found["model"]["class"] == "LlamaForCausalLM"
    assert found["model"]["new_head_parameters"] == 0
    assert found["training"]["rows"] == found["data"]["rows"]["train"] == 27


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--target_modules", "nonsense"], "No module of the blocks is named 'nonsense'"),
        (["--per_device_train_batch_size", "0"], "must be a whole number, at least 1"),
        (["--budget", "8"], "did you mean --budget r=8?"),
    ],
)
def test_inspect_refuses_what_a_run_refuses(flags, more, message, error_of):
    assert message in error_of(["inspect", *flags, *more])


def test_inspect_takes_no_demo(error_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "must be named" in error_of(["inspect"])


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (1000, "1 kB"), (2.5e6, "2.5 MB"), (3e12, "3 TB")]
)
def test_sizes_in_words(count, words):
    assert size(count) == words
