"""The card that a run leaves beside its adapter: its code loads what was trained."""

import json
import re

import pytest
from huggingface_hub import ModelCard

from fake_hub import install
from gelora.cli import main
from tiny_chats import TEMPLATE, causal_llama, chat
from tiny_models import save_tiny, tiny_texts, tiny_tokenizer
from tiny_tasks import write_lines

QUICK = ["--max_steps", "2", "--save_strategy", "no", "--eval_strategy", "no", "--use_cpu"]

pytestmark = [
    pytest.mark.filterwarnings("ignore::gelora.errors.GeloraWarning"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning"),
]


def run_its_code(out, base):
    text = (out / "adapter/README.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, flags=re.DOTALL)[1]
    code = code.replace("FOLDER OR HUB ID OF THIS ADAPTER", str(out / "adapter"))
    names = {}
    exec(code.replace(f"FOLDER OF {base.name}", str(base)), names)
    return names


def test_a_run_leaves_a_card_whose_code_loads_the_adapter(flags, out, model_folder, capsys):
    assert main(["run", *flags, *QUICK]) == 0
    card = ModelCard.load(out / "adapter/README.md")
    metrics = json.loads((out / "metrics.json").read_text())
    accuracy = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert accuracy["accuracy"] == metrics["metrics"]["accuracy"]["value"]
    assert card.data.library_name == "peft"
    assert str(out.parent) not in (out / "adapter/README.md").read_text()
    assert "frozen encoder" in card.text
    capsys.readouterr()
    run_its_code(out, model_folder)
    assert re.fullmatch(r"LABEL_[01]|0|1", capsys.readouterr().out.strip())


def test_a_run_that_was_killed_before_its_card_gets_one(flags, out):
    assert main(["run", *flags, *QUICK]) == 0
    card = out / "adapter/README.md"
    whole = card.read_bytes()
    for left in ("# Model Card for Model ID\n\n- **License:** [More Information Needed]\n", None):
        card.unlink() if left is None else card.write_text(left)
        assert main(["run", *flags, *QUICK]) == 0
        assert ModelCard.load(card).text == ModelCard(whole.decode()).text
    card.write_text("My own words.\n")
    assert main(["run", *flags, *QUICK]) == 0
    assert card.read_text() == "My own words.\n"


def test_what_is_pushed_has_the_card_and_what_it_shows(flags, out, tmp_path, monkeypatch):
    hub = install(monkeypatch, tmp_path / "hub")
    assert main(["run", *flags, *QUICK, "--push_to_hub", "--hub_model_id", "me/mine"]) == 0
    names = {path.name for path in (hub.root / "me/mine").iterdir()}
    assert {"README.md", "ranks.svg", "rank_plan.json", "dimension_profile.json"} <= names
    assert {"adapter_config.json", "adapter_model.safetensors"} <= names
    text = (hub.root / "me/mine/README.md").read_text()
    assert 'PeftModel.from_pretrained(model, "me/mine")' in text


def test_a_chat_template_of_its_own_comes_with_the_adapter(tmp_path, capsys):
    base = save_tiny(causal_llama(), tiny_tokenizer(), tmp_path / "tiny")
    texts = tiny_texts(160)
    chats = [chat(*pair) for pair in zip(texts[:80], texts[80:], strict=True)]
    (tmp_path / "chat.jinja").write_text(TEMPLATE)
    out = tmp_path / "out"
    assert main([
        *("run", "--task_type", "instruction_tuning", "--model_name_or_path", str(base)),
        *("--train_file", str(write_lines(tmp_path / "chats.jsonl", messages=chats))),
        *("--chat_template_path", str(tmp_path / "chat.jinja"), "--max_length", "32"),
        *("--output_dir", str(out), *QUICK),
    ]) == 0  # fmt: skip
    assert "model without adapter" in (out / "adapter/README.md").read_text()
    capsys.readouterr()
    names = run_its_code(out, base)
    assert names["tokenizer"].chat_template == TEMPLATE
