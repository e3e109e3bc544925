"""Where what is exported comes from, and where it goes to."""

import shutil

import pytest
import torch
import yaml
from peft import LoraConfig
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from gelora.artifacts import CONFIG_FILE, PLAN_FILE
from gelora.cli import main
from gelora.cli.parsing import parse
from tiny_adapters import logits, save_tiny_adapter, tiny_plan
from tiny_models import save_tiny, tiny_llama, tiny_tokenizer

CAUSAL = ["--task_type", "instruction_tuning"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Save a language model, a run's folder with an adapter and a plan, and return their folder."""
    folder = tmp_path_factory.mktemp("saved")
    save_tiny(tiny_llama(LlamaForCausalLM), tiny_tokenizer(), folder / "llama")
    model = AutoModelForCausalLM.from_pretrained(folder / "llama")
    tiny_plan(model).save_pretrained(folder / "run")
    said = {"model_name_or_path": str(folder / "llama"), "task_type": "instruction_tuning"}
    config = "# gelora 0.1.0, written by\n" + yaml.safe_dump({**said, "lora_dropout": 0.25})
    (folder / "run" / CONFIG_FILE).write_text(config)
    save_tiny_adapter(folder / "run" / "adapter", model)
    return folder


@pytest.fixture
def run(saved, tmp_path):
    return shutil.copytree(saved / "run", tmp_path / "run")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def exports_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.glob("**/export/*"))


def test_a_language_model(run, saved):
    assert main(["export", "--output_dir", str(run), "--merged", "--untrained", "--uniform"]) == 0
    merged, adapted = (
        AutoModelForCausalLM.from_pretrained(folder).eval()
        for folder in (run / "export" / "merged", saved / "llama")
    )
    adapted.load_adapter(str(run / "adapter"))
    torch.testing.assert_close(logits(merged), logits(adapted), rtol=0, atol=1e-4)
    untrained = LoraConfig.from_pretrained(str(run / "export" / "untrained"))
    assert (untrained.task_type, untrained.modules_to_save) == ("CAUSAL_LM", None)


@pytest.mark.parametrize("named", [".", PLAN_FILE])
def test_a_plan_brings_the_flags_of_its_run_along(named, run, here):
    assert main(["export", "--plan", str(run / named), "--axolotl"]) == 0
    assert exports_in(here) == ["run/export/axolotl.yaml"]
    settings = yaml.safe_load((run / "export" / "axolotl.yaml").read_text())
    assert settings["lora_dropout"] == 0.25
    assert settings["lora_rank_pattern"]


def test_a_plan_on_the_hub_is_no_other_run_s(here):
    config = parse("export", ["--plan", "someone/ranks", "--peft"])
    assert str(config.folder) == "runs/ranks"
    assert str(parse("train", ["--plan", "someone/ranks"]).folder).startswith("runs/agreement-")


def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(here, monkeypatch, error_of):
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download", lambda repo, name, **_: pytest.fail(repo)
    )
    for verb in ("plan", "train", "export"):
        name = "dimension_profile.json" if verb == "plan" else PLAN_FILE
        more = ["--axolotl"] if verb == "export" else []
        assert error_of([verb, "--output_dir", "runs/nope", *more]).startswith(
            f"gelora: runs/nope holds no {name}: run gelora "
        )


def test_adapters_of_no_run_have_folders_of_their_own(run, here):
    for name in ("a", "b"):
        folder = shutil.copytree(run / "adapter", here / "lora" / name)
        (folder / CONFIG_FILE).write_text("base_model: x\n")  # of the program that trained it
        assert main(["export", "--adapter", f"lora/{name}", "--uniform"]) == 0
    assert exports_in(here) == ["lora/a/export/uniform", "lora/b/export/uniform"]


def test_the_folder_that_is_named_takes_the_exports(run, here):
    flags = ["--adapter", str(run / "adapter"), "--output_dir", "other"]
    assert main(["export", *flags, "--uniform", "--axolotl"]) == 0
    assert exports_in(here) == ["other/export/axolotl.yaml", "other/export/uniform"]
    assert "lora_dropout: 0.25" in (here / "other" / "export" / "axolotl.yaml").read_text()


def test_an_adapter_is_of_the_run_that_it_lies_in_as_one(run):
    names = {"adapter": run, "checkpoint-12": run, "foreign": run / "foreign"}
    for name, folder in names.items():
        assert parse("evaluate", ["--adapter", str(run / name)]).folder == folder


def test_an_adapter_that_names_no_model(run, tmp_path, error_of):
    alone = shutil.copytree(run / "adapter", tmp_path / "alone")
    path = alone / "adapter_config.json"
    path.write_text(path.read_text().replace('"base_model_name_or_path"', '"base_model"'))
    assert error_of(["export", "--adapter", str(alone), "--merged", "--uniform"]) == (
        f"gelora: {alone} does not say which model the adapter is for: add --model_name_or_path."
    )
    assert not exports_in(tmp_path)


@pytest.mark.parametrize("name", ["untrained", "axolotl.yaml", "peft"])
def test_nothing_is_written_where_one_place_is_taken(name, run, error_of):
    (run / "export" / name).mkdir(parents=True)
    (run / "export" / name / "mine.txt").touch()
    asked = ["--uniform", "--untrained", "--axolotl", "--peft"]
    assert f"{run / 'export' / name} " in error_of(["export", "--output_dir", str(run), *asked])
    assert [path.name for path in (run / "export").iterdir()] == [name]


def test_axolotl_has_no_model_with_a_head(run, error_of):
    plan = ["export", "--output_dir", str(run), "--task_type", "regression"]
    assert error_of([*plan, "--axolotl", "--untrained"]) == (
        "gelora: axolotl trains language models, and the plan is for regression: export "
        "--untrained or --peft instead."
    )
    assert not exports_in(run)


def test_alphas_that_axolotl_refuses_leave_nothing_behind(run, error_of):
    flags = ["--output_dir", str(run), "--use_rslora", "--axolotl", "--untrained", "--peft"]
    assert "axolotl takes whole alphas, and that of" in error_of(["export", *flags])
    assert not exports_in(run)
