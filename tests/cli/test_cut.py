"""`gelora cut`: from a run's adapter to a smaller one, with what it costs on validation rows."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel
from transformers import AutoModelForSequenceClassification, LlamaForCausalLM

from gelora.artifacts import CUT_FILE, PLAN_FILE
from gelora.cli import main
from gelora.cutting.record import AdapterCut
from gelora.exports.saved import read_adapter
from tiny_adapters import logits, save_tiny_adapter
from tiny_models import tiny_llama

QUICK = ["--max_steps", "20", "--eval_strategy", "no", "--use_cpu", "--quiet"]


@pytest.fixture(scope="module")
def data_flags(model_folder, data_files):
    train_file, validation_file = map(str, data_files)
    return [
        *("--model_name_or_path", str(model_folder)),
        *("--train_file", train_file, "--validation_file", validation_file),
        *("--text_columns", "sentence", "--label_column", "kind", "--max_length", "32"),
    ]


@pytest.fixture(scope="module")
def finished(data_flags, tmp_path_factory):
    """Train a tiny classifier, and return the folder of its run."""
    out = tmp_path_factory.mktemp("runs") / "one"
    flags = ["--budget", "r=4", "--learning_rate", "0.01"]
    assert main(["run", "--output_dir", str(out), *data_flags, *flags, *QUICK]) == 0
    return out


@pytest.fixture
def run(finished, tmp_path):
    """Return a copy of the run's folder."""
    return shutil.copytree(finished, tmp_path / "run")


def cut(run, *flags):
    return main(["cut", "--output_dir", str(run), "--quiet", *flags])


def test_a_run_is_cut_to_a_budget(run, model_folder, capsys):
    """The run's own budget, r=4, and its other flags do not say how far to cut."""
    assert cut(run, "--budget", "r=1", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    record = AdapterCut.from_pretrained(run / "cut")
    assert printed["adapter"] == str(run / "cut")
    assert printed["parameters"] == record.parameters
    assert record.settings.budget == "r=1"
    assert record.settings.importance == "weights"
    assert record.num_rows > 0
    base = AutoModelForSequenceClassification.from_pretrained(model_folder, num_labels=2)
    adapted = PeftModel.from_pretrained(base, str(run / "cut"))
    ranks = {
        name: module.r["default"]
        for name, module in adapted.get_base_model().named_modules()
        if hasattr(module, "lora_A") and module.r
    }
    assert ranks == record.ranks
    assert not (run / "cut" / PLAN_FILE).exists()  # its ranks are not the cut adapter's


def test_the_terminal_the_page_and_the_card_say_the_same(run, capsys):
    assert cut(run, "--budget", "r=1") == 0
    printed = capsys.readouterr().out
    decision = next(line for line in printed.splitlines() if line.startswith("The cut adapter"))
    assert decision in (run / "cut" / "README.md").read_text()
    page = (run / "report.html").read_text()
    assert '<section id="cut">' in page
    assert "What training used" in page
    assert decision in page.replace("&nbsp;", " ").replace("\u00a0", " ")


def test_a_cut_adapter_is_evaluated_and_exported(run, tmp_path, capsys):
    assert cut(run, "--budget", "r=1") == 0
    capsys.readouterr()
    assert main(["evaluate", "--adapter", str(run / "cut"), "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]
    flags = ["--uniform", "8", "--export_dir", str(tmp_path / "new")]
    assert main(["export", "--adapter", str(run / "cut"), *flags, "--quiet"]) == 0
    assert LoraConfig.from_pretrained(str(tmp_path / "new" / "uniform")).r == 8


def test_a_tolerance_keeps_the_smallest_adapter_within_it(run):
    assert cut(run, "--tolerance", "0.05", "--importance", "fisher") == 0
    record = AdapterCut.from_pretrained(run / "cut")
    assert record.point.difference <= 0.05
    smaller = [p for p in record.curve if p.parameters < record.parameters]
    assert smaller
    assert smaller[-1].difference > 0.05 or smaller[-1].parameters == 0


def test_a_plan_gives_the_ranks(run, tmp_path):
    flags = ["--output_dir", str(tmp_path / "plan"), "--budget", "r=1"]
    assert main(["plan", "--profile", str(run), *flags, "--quiet"]) == 0
    assert cut(run, "--plan", str(tmp_path / "plan")) == 0
    ranks = AdapterCut.from_pretrained(run / "cut").ranks
    assert set(ranks.values()) <= {1, 2, 3}


def test_finish_steps_train_the_cut_adapter(run):
    assert cut(run, "--budget", "r=1", "--cut_dir", str(run / "short")) == 0
    assert cut(run, "--budget", "r=1", "--finish_steps", "5") == 0
    short, long = (read_adapter(run / name) for name in ("short", "cut"))
    record = AdapterCut.from_pretrained(run / "cut")
    assert long.factors().keys() == short.factors().keys() == record.ranks.keys()
    assert any(not torch.equal(t, long.tensors[n]) for n, t in short.tensors.items())
    assert record.finish_steps == 5
    assert record.finished.loss != record.point.loss
    modes = {path.stat().st_mode for path in (run / "cut").glob("adapter_*")}
    assert len(modes) == 1


def test_an_adapter_without_a_run_is_cut_by_its_weights(tmp_path, capsys):
    """PEFT alone saved it: no data, no model and no plan are needed."""
    whole = save_tiny_adapter(tmp_path / "adapter", tiny_llama(LlamaForCausalLM))
    flags = ["--adapter", str(tmp_path / "adapter"), "--cut_dir", str(tmp_path / "cut")]
    assert main(["cut", *flags, "--energy", "0.999999999", "--quiet"]) == 0
    assert "rank kept" in capsys.readouterr().out
    loaded = PeftModel.from_pretrained(tiny_llama(LlamaForCausalLM), str(tmp_path / "cut"))
    torch.testing.assert_close(logits(loaded), logits(whole), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "Nothing says how far to cut: add --budget r=2"),
        (["--budget", "r=1", "--energy", "0.5"], "budget and energy both say how far"),
        (["--budget", "r=64"], "there is nothing to cut"),
        (["--tolerance", "-1"], "tolerance must be 0 or a positive number"),
    ],
)
def test_refusals_change_nothing(run, flags, message, capsys):
    assert cut(run, *flags) != 0
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (run / "cut").exists()


@pytest.mark.parametrize("flags", [["--importance", "inputs"], ["--finish_steps", "2"]])
def test_what_needs_texts_says_so(flags, tmp_path, capsys):
    save_tiny_adapter(tmp_path / "adapter", tiny_llama(LlamaForCausalLM))
    command = ["cut", "--adapter", str(tmp_path / "adapter"), "--budget", "r=1", "--quiet"]
    assert main([*command, *flags]) != 0
    assert f"{flags[0]} needs texts, and none are named" in capsys.readouterr().err


def test_nothing_is_overwritten(run, capsys):
    assert cut(run, "--budget", "r=1") == 0
    before = (run / "cut" / CUT_FILE).read_bytes()
    assert cut(run, "--budget", "r=2") != 0
    assert "is not empty: name another folder, or --overwrite" in capsys.readouterr().err
    assert (run / "cut" / CUT_FILE).read_bytes() == before
    assert cut(run, "--budget", "r=2", "--overwrite") == 0
    assert AdapterCut.from_pretrained(run / "cut").settings.budget == "r=2"
