"""What training leaves in its files besides weights: names and lists, the same everywhere."""

import json

from transformers import BertForSequenceClassification

from example_profiles import profile_of
from gelora.hidden_states import loading as models
from gelora.ranks import plan_ranks
from gelora.tasks.train import train
from tiny_models import tiny_bert, tiny_tokenizer
from tiny_tasks import quick_arguments, tiny_task


def train_tiny(folder, **overrides):
    model = tiny_bert(BertForSequenceClassification)
    model.name_or_path = model.config.name_or_path = overrides.pop("name", "")
    plan = plan_ranks(profile_of(model))
    arguments = quick_arguments(folder, **overrides)
    train(model, tiny_tokenizer(), tiny_task(), plan, arguments=arguments)
    return plan


def test_no_file_names_the_folder_of_the_embedded_models_package(tmp_path, monkeypatch):
    package = tmp_path / "package" / "model"
    monkeypatch.setattr(models, "_embedded_folder", lambda: package)
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", None)  # not called
    out = tmp_path / "out"
    train_tiny(out, name=str(package), max_steps=2, save_strategy="steps", save_steps=1)
    folders = [out / "adapter", out / "checkpoint-1", out / "checkpoint-2"]
    files = [path for folder in folders for path in folder.iterdir()]
    assert len(files) > 12
    assert not [path for path in files if str(package).encode() in path.read_bytes()]
    for folder in folders:
        config = json.loads((folder / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == models.EMBEDDED_MODEL
        card = (folder / "README.md").read_text()
        assert f"base_model: {models.EMBEDDED_MODEL}\n" in card
        assert f"- base_model:adapter:{models.EMBEDDED_MODEL}\n" in card


def test_lists_are_sorted_and_hold_nothing_twice(tmp_path):
    plan = train_tiny(tmp_path)
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    assert config["target_modules"] == sorted(f"bert.{name}" for name in plan.modules)
    assert config["modules_to_save"] == ["classifier", "score"]
