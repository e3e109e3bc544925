"""The model card: what it says, that its code runs, and that PEFT leaves it standing."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from huggingface_hub import ModelCard
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BertForSequenceClassification

from gelora.artifacts import METRICS_FILE, PROFILE_FILE, write_json, write_text
from gelora.errors import ArtifactError
from gelora.report.card import FIGURE_FILE, write_card
from report.example_run import CONFIG, example_metrics, example_profile, write_example_run
from tiny_models import save_tiny, tiny_bert, tiny_tokenizer


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    write_example_run(folder)
    write_text(folder / "adapter/README.md", PEFT_CARD)
    return folder


PEFT_CARD = """\
---
base_model: FacebookAI/roberta-base
library_name: peft
tags:
- base_model:adapter:FacebookAI/roberta-base
- lora
- transformers
license: mit
---

### Framework versions

- PEFT 0.21.2
"""


def change_metrics(folder, **changes):
    plan = write_example_run(folder)
    write_json(folder / METRICS_FILE, example_metrics(plan) | changes, kind="metrics")


def read(path):
    card = ModelCard.load(path)
    return card, card.data


def test_it_takes_the_place_of_pefts_and_keeps_what_that_said(run):
    path = write_card(run)
    assert path == run / "adapter" / "README.md"
    card, data = read(path)
    assert data.base_model == "FacebookAI/roberta-base"
    assert data.license == "mit"
    assert data.tags == [
        "base_model:adapter:FacebookAI/roberta-base", "gelora", "lora", "transformers",
    ]  # fmt: skip
    assert data.pipeline_tag == "text-classification"
    assert data.datasets == ["nyu-mll/glue"]
    results = {result.metric_type: result for result in data.eval_results}
    assert results["matthews_correlation"].metric_value == 0.4931
    assert results["accuracy"].dataset_type == "nyu-mll/glue"
    assert results["accuracy"].dataset_config == "cola"
    assert "Matthews correlation | 0.493 ± 0.029 | 0.221 ± 0.031 | 0.000 | 1,043 |" in card.text
    assert "| 1 | 2 | 0.96 | 8.82 ± 0.18 | +0.81 ± 0.07 | 12,288 |" in card.text
    assert f"]({FIGURE_FILE})" in card.text
    assert (run / "adapter" / FIGURE_FILE).read_text().startswith("<svg xmlns=")


def test_it_is_the_same_twice(run):
    first = write_card(run).read_bytes()
    assert write_card(run).read_bytes() == first


def test_what_it_must_have(run):
    text = write_card(run).read_text()
    assert re.findall(r"^##+ (.*)", text, flags=re.MULTILINE) == [
        "Results", "How to use it", "Dimension and ranks", "How it was measured",
        "Training procedure", "Framework versions", "Limits", "Citation",
    ]  # fmt: skip
    for words in ("with seed 42", "arXiv:2412.09250", "Facco", "learning_rate: 0.0002", "on cpu."):
        assert words in text


def test_no_path_and_no_token_of_the_machine_goes_into_it(run):
    secrets = {
        "output_dir": "/home/me/runs", "train_file": "/home/me/a.csv", "hub_token": "hf_secret",
        "chat_template_path": "/home/me/t.jinja", "model_name_or_path": "/home/me/my_model",
    }  # fmt: skip
    change_metrics(run, model="/home/me/my_model")
    write_text(run / "config.yaml", CONFIG + yaml.safe_dump(secrets))
    (run / "adapter/README.md").write_text(
        PEFT_CARD.replace("FacebookAI/roberta-base", "/home/me/my_model")
    )
    path = write_card(run)
    assert "/home/me" not in path.read_text()
    assert "hf_secret" not in path.read_text()
    _, data = read(path)
    assert data.base_model is None
    assert data.tags == ["gelora", "lora", "transformers"]
    assert '"FOLDER OF my_model"' in path.read_text()
    assert "LoRA adapter of my\\_model for cola" in path.read_text()


def test_names_from_outside_are_shown_letter_by_letter(run):
    change_metrics(run, task="<b>[x](y)|`")
    assert "for \\<b\\>\\[x\\](y)\\|\\`\n" in write_card(run).read_text()


def test_a_plan_from_elsewhere_has_its_ranks_alone(run):
    write_card(run)
    (run / PROFILE_FILE).unlink()
    text = write_card(run).read_text()
    assert "| encoder.layer.0 | 2 | 12,288 |" in text
    assert "98,304 trainable parameters." in text
    assert FIGURE_FILE not in text
    assert "How it was measured" not in text


def test_a_profile_of_another_run_is_not_shown(run):
    example_profile(growth=2.0).save_pretrained(run)
    assert "How it was measured" not in write_card(run).read_text()


def test_without_validation_there_is_no_result(run):
    change_metrics(run, metrics={}, baselines={})
    path = write_card(run)
    assert "There were no validation texts to evaluate on." in path.read_text()
    assert read(path)[1].eval_results is None


def test_a_checkpoint_chosen_by_the_validation_texts_is_said_to_be(run):
    assert "too good" not in write_card(run).read_text()
    write_text(run / "config.yaml", CONFIG + "early_stopping_patience: 3\n")
    assert "chosen by the same texts, so the result is too good" in write_card(run).read_text()


def test_both_sets_of_mnli_are_results_of_their_own(run):
    one = {"value": 0.8, "standard_error": 0.01, "num_samples": 9815}
    two = {"value": 0.79, "standard_error": 0.01, "num_samples": 9832}
    change_metrics(
        run,
        task="mnli",
        headline_metric="accuracy",
        metrics={"accuracy": one, "accuracy_mismatched": two},
    )
    path = write_card(run)
    assert "| accuracy, mismatched | 0.790 ± 0.010 |" in path.read_text()
    splits = {result.dataset_split: result for result in read(path)[1].eval_results}
    assert splits["mismatched"].metric_type == "accuracy"
    assert splits["mismatched"].metric_value == 0.79


@pytest.mark.parametrize("missing", [METRICS_FILE, "adapter"])
def test_before_training_there_is_no_card(run, missing):
    (run / missing).rename(run / "elsewhere")
    with pytest.raises(ArtifactError, match=f"{run} holds no metrics.json with an adapter folder"):
        write_card(run)


@pytest.fixture
def trained(tmp_path):
    """A run with an adapter that PEFT saved, of a tiny model in a folder."""
    base = save_tiny(tiny_bert(BertForSequenceClassification), tiny_tokenizer(), tmp_path / "base")
    run = tmp_path / "run"
    change_metrics(run, model=str(base))
    model = tiny_bert(BertForSequenceClassification)
    get_peft_model(model, LoraConfig(task_type="SEQ_CLS")).save_pretrained(str(run / "adapter"))
    return run


def load_by(card, run):
    code = re.search(r"```python\n(.*?)```", card.read_text(), flags=re.DOTALL)[1]
    code = code.replace("FOLDER OR HUB ID OF THIS ADAPTER", str(run / "adapter"))
    names = {}
    exec(code.replace("FOLDER OF base", str(run.parent / "base")), names)
    return names["model"]


def test_its_code_runs_and_peft_leaves_it_standing(trained, capsys):
    path = write_card(trained)
    model = load_by(path, trained)
    assert capsys.readouterr().out.strip() in {"unacceptable", "acceptable"}
    assert isinstance(model, PeftModel)
    before = ModelCard.load(path)
    model.save_pretrained(str(trained / "adapter"))
    after = ModelCard.load(path)
    assert after.text.strip() == before.text.strip()
    assert after.data.to_dict()["model-index"] == before.data.to_dict()["model-index"]


def test_pushing_by_peft_leaves_the_card_of_the_repository_whole(trained, monkeypatch, capsys):
    path = write_card(trained)
    there, pushed = ModelCard.load(path), {}

    def create_commit(*, operations, **asked):
        for one in operations:
            pushed[one.path_in_repo] = Path(one.path_or_fileobj).read_bytes()

    api = SimpleNamespace(
        create_repo=lambda repo_id, **asked: SimpleNamespace(repo_id=repo_id),
        create_commit=create_commit,
    )
    monkeypatch.setattr("transformers.utils.hub.hf_api", lambda: api)
    model = load_by(path, trained)
    monkeypatch.setattr("transformers.utils.hub.ModelCard.load", lambda repo_id, token: there)
    model.push_to_hub("me/mine")
    assert pushed["README.md"] == path.read_bytes()
    assert "adapter_model.safetensors" in pushed
