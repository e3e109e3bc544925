"""Every script in examples/ runs as it says, on tiny models, and leaves a plain adapter."""

import json
import runpy
from pathlib import Path

import pytest
from peft import AutoPeftModelForCausalLM, AutoPeftModelForSequenceClassification

from gelora import DimensionProfile, RankPlan, verify_ranks
from tiny_chats import causal_llama, chat, chat_tokenizer
from tiny_models import save_tiny, tiny_bert, tiny_texts, tiny_tokenizer
from tiny_tasks import write_lines

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, *arguments):
    runpy.run_path(str(EXAMPLES / name))["main"](*map(str, arguments))


def test_every_script_is_tested():
    assert {path.name for path in EXAMPLES.iterdir()} - {"__pycache__"} == {"own_loop.py", "sft.py"}


@pytest.mark.parametrize("name", ["own_loop.py", "sft.py"])
def test_a_script_opens_with_its_command(name):
    assert f"\n    python examples/{name} MODEL " in (EXAMPLES / name).read_text()


@pytest.mark.filterwarnings("ignore::gelora.errors.GeloraWarning")
def test_own_loop(tmp_path, capsys):
    save_tiny(tiny_bert(), tiny_tokenizer(), tmp_path / "model")
    texts = tiny_texts(120)
    file = write_lines(tmp_path / "rows.jsonl", text=texts, label=[i % 3 for i in range(120)])
    run("own_loop.py", tmp_path / "model", file, tmp_path / "out")
    *losses, last = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in losses] == ["epoch 1", "epoch 2", "epoch 3"]
    plan = RankPlan.from_pretrained(tmp_path / "out")
    assert last.startswith(f"ranks {', '.join(map(str, plan.ranks))}; adapter in ")
    assert plan.profile_hash == DimensionProfile.from_pretrained(tmp_path / "out").content_hash()
    loaded = AutoPeftModelForSequenceClassification.from_pretrained(
        str(tmp_path / "out"), num_labels=3
    )
    verify_ranks(loaded, plan)


@pytest.mark.filterwarnings("ignore::gelora.errors.GeloraWarning")
@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")  # TRL's own default
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set:UserWarning")  # on a CPU
def test_sft(tmp_path, capsys):
    save_tiny(causal_llama(), chat_tokenizer(), tmp_path / "model")
    texts = tiny_texts(160)
    chats = [chat(*pair) for pair in zip(texts[:80], texts[80:], strict=True)]
    file = write_lines(tmp_path / "chats.jsonl", messages=chats)
    run("sft.py", tmp_path / "model", file, tmp_path / "out")
    assert "adapter in" in capsys.readouterr().out
    state = json.loads((tmp_path / "out/checkpoint-20/trainer_state.json").read_text())
    measured = [entry["step"] for entry in state["log_history"] if any(
        name.startswith("gelora/dimension/") for name in entry
    )]  # fmt: skip
    assert measured == [0, 10, 20]
    loaded = AutoPeftModelForCausalLM.from_pretrained(str(tmp_path / "out"))
    assert loaded.peft_config["default"].rank_pattern is not None
