"""`gelora export`: from the folder of a run, or an adapter alone, to what other programs read."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForQuestionAnswering,
    LlamaForCausalLM,
    RobertaForSequenceClassification,
)

from gelora.adapters import verify_ranks
from gelora.cli import main
from gelora.exports import verify_same_update
from gelora.hidden_states import loading as models
from gelora.ranks import RankPlan
from gelora.training.train import wrap
from tiny_adapters import logits, save_tiny_adapter, tiny_plan
from tiny_models import (
    save_tiny,
    tiny_batch,
    tiny_bert,
    tiny_llama,
    tiny_roberta,
    tiny_tokenizer,
)

QUICK = ["--max_steps", "2", "--eval_strategy", "no", "--use_cpu", "--quiet"]


@pytest.fixture(scope="module")
def data_flags(model_folder, data_files):
    train_file, validation_file = map(str, data_files)
    return [
        *("--model_name_or_path", str(model_folder)),
        *("--train_file", train_file, "--validation_file", validation_file),
        *("--text_columns", "sentence", "--label_column", "kind", "--max_length", "32"),
    ]


@pytest.fixture(scope="module")
def run(data_flags, tmp_path_factory):
    """Train a tiny classifier, and return the folder of its run."""
    out = tmp_path_factory.mktemp("runs") / "one"
    assert main(["run", "--output_dir", str(out), *data_flags, *QUICK]) == 0
    return out


@pytest.fixture
def export(run, tmp_path):
    """Return a function that exports from the run to a new folder."""
    return lambda *flags: main(
        ["export", "--output_dir", str(run), "--export_dir", str(tmp_path / "new"), *flags]
    )


@pytest.fixture
def new(tmp_path):
    return tmp_path / "new"


def classifier(folder):
    return AutoModelForSequenceClassification.from_pretrained(folder).eval()


@pytest.mark.filterwarnings("ignore::gelora.errors.ServingWarning")  # of the head
def test_servers_and_whoever_reads_no_adapters(export, run, new, model_folder, capsys):
    assert export("--uniform", "32", "--merged", "--json") == 0
    paths = json.loads(capsys.readouterr().out)
    assert paths == {name: str(new / name) for name in ("uniform", "merged")}
    verify_same_update(run / "adapter", new / "uniform")
    assert LoraConfig.from_pretrained(str(new / "uniform")).r == 32
    base = AutoModelForSequenceClassification.from_pretrained(model_folder)
    adapted = PeftModel.from_pretrained(base, str(run / "adapter")).eval()
    torch.testing.assert_close(logits(classifier(new / "merged")), logits(adapted))
    AutoTokenizer.from_pretrained(new / "merged")


def test_a_head_is_warned_of_in_one_line(export, capsys):
    assert export("--uniform", "64") == 0
    output = capsys.readouterr()
    assert output.out == f"uniform    {output.out.split()[-1]}\n"
    assert output.err == (
        "Warning: llama.cpp's converter takes no adapter that saves modules whole, as classifier: "
        "convert the --merged model.\n"
    )


@pytest.mark.parametrize(("named", "rank"), [([], 1), (["8"], 8)])
def test_an_adapter_that_is_uniform_already_is_served_as_it_is(named, rank, tmp_path, capsys):
    """Nothing is padded unless a rank is named, and following the sentence's advice pads."""
    folder = tmp_path / "adapter"
    base = tiny_llama(LlamaForCausalLM)
    config = LoraConfig(task_type="CAUSAL_LM", r=1, lora_alpha=2, target_modules=["q_proj"])
    get_peft_model(base, config).save_pretrained(str(folder))
    assert main(["export", "--adapter", str(folder), "--uniform", *named]) == 0
    text = capsys.readouterr().out
    exported = tmp_path / "export" / "uniform"
    if named:
        assert LoraConfig.from_pretrained(str(exported)).r == rank
    else:
        assert "uniform already" in text
        assert str(folder) in text
        assert "--uniform 8" in text
        assert not exported.exists()


def test_other_trainers(export, run, new, model_folder, capsys):
    assert export("--untrained", "--peft") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        *("untrained", "peft")
    ]
    plan = RankPlan.from_pretrained(run)
    base = AutoModelForSequenceClassification.from_pretrained(model_folder)
    untrained = PeftModel.from_pretrained(base, str(new / "untrained"), is_trainable=True)
    verify_ranks(untrained, plan)
    alone = json.loads((new / "peft" / "adapter_config.json").read_text())
    assert alone["rank_pattern"] == untrained.peft_config["default"].rank_pattern
    assert alone["base_model_name_or_path"] == str(model_folder)


def test_the_untrained_adapter_is_what_training_starts_from(export, run, new, data_flags, tmp_path):
    out = tmp_path / "unmoved"
    still = ["--learning_rate", "0", "--plan", str(run), "--output_dir", str(out)]
    assert main(["train", *still, *data_flags, *QUICK]) == 0
    assert export("--untrained") == 0
    start, exported = (
        load_file(one / "adapter_model.safetensors") for one in (out / "adapter", new / "untrained")
    )
    assert start.keys() == exported.keys()
    assert all(torch.equal(start[name], exported[name]) for name in start)


def test_no_file_names_the_folder_of_the_embedded_models_package(
    export, new, model_folder, monkeypatch
):
    monkeypatch.setattr(models, "_embedded_folder", lambda: model_folder)
    assert export("--merged", "--untrained", "--peft") == 0
    files = [path for path in new.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert not [path for path in files if str(model_folder).encode() in path.read_bytes()]
    assert models.EMBEDDED_MODEL in (new / "peft" / "adapter_config.json").read_text()


def test_the_run_itself_is_left_as_it_was_and_nothing_is_overwritten(export, run, error_of, new):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert export("--merged") == 0
    again = ["export", "--output_dir", str(run), "--export_dir", str(new), "--merged", "--uniform"]
    assert error_of(again) == (
        f"gelora: {new / 'merged'} is not empty: name another folder, or --overwrite to replace it."
    )
    assert not (new / "uniform").exists()
    assert main([*again, "--overwrite"]) == 0
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_the_exports_lie_in_the_runs_folder_by_default(run):
    assert main(["export", "--output_dir", str(run), "--peft"]) == 0
    assert (run / "export" / "peft" / "adapter_config.json").is_file()


@pytest.mark.parametrize("labels", [1, 3])
def test_an_adapter_alone_says_enough_to_be_merged(labels, tmp_path):
    base = tiny_roberta(RobertaForSequenceClassification, num_labels=labels)  # a head of two layers
    base.name_or_path = base.config.name_or_path = str(tmp_path / "base")
    save_tiny(base, tiny_tokenizer(), tmp_path / "base")
    adapted = save_tiny_adapter(tmp_path / "alone" / "adapter", base, task_type="SEQ_CLS")
    assert main(["export", "--adapter", str(tmp_path / "alone" / "adapter"), "--merged"]) == 0
    merged = classifier(tmp_path / "alone" / "export" / "merged")
    torch.testing.assert_close(logits(merged), logits(adapted))


def test_an_adapter_for_questions_alone(tmp_path):
    base = tiny_bert(BertForQuestionAnswering)
    base.name_or_path = base.config.name_or_path = str(tmp_path / "base")
    save_tiny(base, tiny_tokenizer(), tmp_path / "base")
    adapted = wrap(base, tiny_plan(base), "question_answering")
    adapted.save_pretrained(str(tmp_path / "adapter"), save_embedding_layers=False)
    assert main(["export", "--adapter", str(tmp_path / "adapter"), "--merged"]) == 0
    merged = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "export" / "merged").eval()
    batch = {**tiny_batch("bert"), "token_type_ids": torch.ones(4, 9, dtype=torch.long)}
    with torch.no_grad():
        found, expected = merged(**batch), adapted.eval()(**batch)
    torch.testing.assert_close(found.start_logits, expected.start_logits)


def test_an_adapter_of_quantised_weights_is_merged_into_those_stored(export, new, run, capsys):
    assert export("--merged", "--load_in_4bit") == 0
    assert "made with the weights of" in capsys.readouterr().err
    assert not hasattr(classifier(new / "merged").config, "quantization_config")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "Say what to export: --uniform [RANK], --merged, --untrained, --axolotl or --peft."),
        (
            ["--uniform", "small"],
            "--uniform takes a rank, or no value for the smallest. Got 'small'.",
        ),
    ],
)
def test_flags_that_ask_for_nothing(flags, message, run, error_of):
    assert error_of(["export", "--output_dir", str(run), *flags]) == f"gelora: {message}"
