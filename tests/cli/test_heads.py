"""Which head a model has is read, or asked for: it is never guessed."""

import pytest
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, LlamaForCausalLM

from gelora.artifacts import ENVIRONMENT_FILE, METRICS_FILE, write_json
from gelora.cli import main
from gelora.cli.heads import planned_head
from gelora.cli.parsing import parse
from tiny_adapters import save_tiny_adapter, tiny_plan
from tiny_models import save_tiny, tiny_llama, tiny_tokenizer

NOT_SAID = (
    "does not say yet what the model is to do, or with how many labels: train first, or for a "
    "language model add --task_type instruction_tuning."
)


@pytest.fixture(scope="module")
def causal_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "llama"
    return save_tiny(tiny_llama(LlamaForCausalLM), tiny_tokenizer(), folder)


def test_labels_that_were_not_counted_yet_make_no_language_model(
    flags, causal_folder, out, error_of
):
    model = ["--model_name_or_path", str(causal_folder)]
    assert main(["measure", *flags, *model, "--quiet"]) == 0
    assert main(["plan", "--output_dir", str(out), "--quiet"]) == 0
    export = ["export", "--output_dir", str(out), "--peft"]
    for more in ([], ["--task_type", "classification"]):
        assert error_of([*export, *more]) == f"gelora: {out} {NOT_SAID}"
    assert not (out / "export").exists()
    assert main([*export, "--axolotl", "--task_type", "instruction_tuning"]) == 0
    assert LoraConfig.from_pretrained(str(out / "export" / "peft")).task_type == "CAUSAL_LM"


def test_a_plan_alone_says_neither_its_model_nor_what_it_is_for(causal_folder, tmp_path, error_of):
    tiny_plan(tiny_llama(LlamaForCausalLM)).save_pretrained(tmp_path)
    export = ["export", "--output_dir", str(tmp_path), "--untrained"]
    assert error_of(export) == (
        f"gelora: {tmp_path} does not say which model the plan is for: add --model_name_or_path."
    )
    model = ["--model_name_or_path", str(causal_folder)]
    assert error_of([*export, *model]) == f"gelora: {tmp_path} {NOT_SAID}"


@pytest.mark.parametrize(
    ("flags", "head"),
    [
        (["--task", "mnli"], ("classification", 3)),
        (["--task_type", "regression"], ("regression", None)),
        (["--task", "squad"], ("question_answering", None)),
        ([], ("classification", 7)),  # the run's
        (["--task_type", "classification"], ("classification", 7)),
        (["--task_type", "instruction_tuning"], ("instruction_tuning", None)),  # not the run's
    ],
)
def test_a_known_task_a_problem_or_a_finished_run_says_the_head(flags, head, tmp_path):
    trained = {"problem": "classification", "num_labels": 7, "label_names": None}
    if "--task" not in flags:
        write_json(tmp_path / METRICS_FILE, trained, kind="metrics")
        write_json(tmp_path / ENVIRONMENT_FILE, {}, kind="environment")
    found = planned_head(parse("export", ["--output_dir", str(tmp_path), "--peft", *flags]))
    assert (found["task"], found.get("num_labels")) == head


def merge(tmp_path):
    return ["export", "--adapter", str(tmp_path / "adapter"), "--merged"]


def test_an_adapter_that_does_not_name_its_task(model_folder, tmp_path, error_of):
    base = AutoModelForSequenceClassification.from_pretrained(model_folder)
    save_tiny_adapter(tmp_path / "adapter", base, task_type=None)
    assert "names the 'task_type' None, by which its model's head is unknown" in error_of(
        merge(tmp_path)
    )


def test_an_adapter_without_its_head_is_not_merged_onto_a_random_one(
    model_folder, tmp_path, error_of
):
    base = AutoModelForSequenceClassification.from_pretrained(model_folder)
    save_tiny_adapter(tmp_path / "adapter", base, task_type="SEQ_CLS")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({name: t for name, t in load_file(file).items() if ".lora_" in name}, file)
    assert error_of(merge(tmp_path)) == (
        f"gelora: The adapter in {tmp_path / 'adapter'} is for labels (SEQ_CLS) and saves no head "
        "for them: merged, it would label at random. Save it with --modules_to_save."
    )
    assert not (tmp_path / "export").exists()
