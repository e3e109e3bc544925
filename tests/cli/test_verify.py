"""`gelora verify`: its files, what it measures again and what not, and what it refuses."""

import hashlib
import json
import shutil
from dataclasses import replace

import pytest

from gelora.artifacts import (
    ADAPTER_FOLDER,
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    METRICS_FILE,
    THEORY_FILE,
    read_json,
)
from gelora.cli import main
from gelora.cli.values import read_yaml
from gelora.dimension.profile import DimensionProfile
from gelora.lab.theory.jacobian import block_jacobians
from gelora.lab.theory.record import TheoryRecord
from gelora.lab.theory.theorem import check_theorem
from gelora.lab.theory.updates import module_updates
from gelora.ranks import RankPlan

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

FEW = ["--jacobian_samples", "2", "--jacobian_rank", "12", "--fisher_samples", "6"]
QUICK = ["--max_steps", "2", "--eval_strategy", "no", "--save_strategy", "no", "--use_cpu"]
MEASURING = "gelora.lab.theory.measuring"


@pytest.fixture(scope="module")
def measured(model_folder, data_files, tmp_path_factory):
    """Verify in a folder that holds nothing yet; return the folder."""
    out = tmp_path_factory.mktemp("runs") / "measured"
    train_file, validation_file = map(str, data_files)
    flags = [
        *("--model_name_or_path", str(model_folder), "--output_dir", str(out)),
        *("--train_file", train_file, "--validation_file", validation_file, *FEW),
        *("--text_columns", "sentence", "--label_column", "kind", "--max_length", "32"),
    ]
    assert main(["verify", *flags]) == 0
    return out


@pytest.fixture(scope="module")
def trained(measured, tmp_path_factory):
    """Train in such a folder, and verify again, with no Jacobian measured; return the folder."""
    out = tmp_path_factory.mktemp("runs") / "trained"
    shutil.copytree(measured, out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{MEASURING}.block_jacobians", None)
        assert main(["train", "--output_dir", str(out), *QUICK]) == 0
        assert main(["verify", "--output_dir", str(out)]) == 0
    return out


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "copy")


@pytest.fixture
def quick(monkeypatch, measured):
    """Take the Jacobians of the first call for those of any."""
    found = TheoryRecord.from_pretrained(measured / THEORY_FILE).jacobians
    monkeypatch.setattr(f"{MEASURING}.block_jacobians", lambda *_, **__: found)


def record_of(folder):
    return TheoryRecord.from_pretrained(folder / THEORY_FILE)


def by_module(update):
    return update.module


def test_it_measures_plans_and_leaves_the_record_and_the_report(measured):
    profile, plan = (kind.from_pretrained(measured) for kind in (DimensionProfile, RankPlan))
    theory = record_of(measured)
    assert [(one.block, one.by) for one in theory.jacobians] == [
        (block, by) for block in profile.blocks for by in ("input", "parameters")
    ]
    assert all(len(one.spectra) == 2 for one in theory.jacobians)
    assert {(one.of, one.stage, one.num_samples) for one in theory.fishers} == {
        ("weights", "before", 6), ("lora", "before", 6)
    }  # fmt: skip
    assert (theory.updates, theory.adapter_sha256) == ((), None)
    assert theory.profile_hash == profile.content_hash() == plan.profile_hash
    assert theory.fingerprint == profile.fingerprint
    assert set(theory.seconds) == {"jacobians", "fisher"}
    assert "<h2>Theory</h2>" in (measured / "report.html").read_text()
    assert read_yaml(measured / CONFIG_FILE)["jacobian_samples"] == 2


def test_after_training_what_rests_on_the_adapter_is_added(measured, trained):
    before, theory = record_of(measured), record_of(trained)
    assert theory.jacobians == before.jacobians
    assert theory.fishers[: len(before.fishers)] == before.fishers
    added = theory.fishers[len(before.fishers) :]
    assert {(one.of, one.stage) for one in added} == {("weights", "after"), ("lora", "after")}
    adapter = trained / ADAPTER_FOLDER
    expected = module_updates(adapter, RankPlan.from_pretrained(trained))
    assert sorted(theory.updates, key=by_module) == sorted(expected, key=by_module)
    weights = (adapter / "adapter_model.safetensors").read_bytes()
    assert theory.adapter_sha256 == hashlib.sha256(weights).hexdigest()
    assert "The bound in use" in (trained / "report.html").read_text()


def test_before_training_the_head_is_the_one_that_training_begins_with(trained):
    """Two steps move next to nothing; another head's gradients would have another size."""
    spectra = {(one.of, one.stage, one.block): one.spectrum for one in record_of(trained).fishers}
    for (of, stage, block), spectrum in spectra.items():
        if of == "weights" and stage == "before":
            after = spectra[of, "after", block]
            assert after.largest == pytest.approx(spectrum.largest, rel=0.2)


def test_the_command_of_the_run_is_kept_and_the_stage_recorded(trained):
    stages = read_json(trained / ENVIRONMENT_FILE, kind="environment")["stages"]
    assert set(stages) == {"measure", "train", "verify"}
    assert stages["verify"]["inputs"]["fisher_samples"] == 6
    assert stages["verify"]["seconds"] == pytest.approx(sum(record_of(trained).seconds.values()))


def test_what_is_complete_and_unchanged_is_shown_again(copy, monkeypatch, capsys):
    monkeypatch.setattr(f"{MEASURING}.block_jacobians", None)
    monkeypatch.setattr(f"{MEASURING}.block_fishers", None)
    stamp = (copy / THEORY_FILE).stat().st_mtime_ns
    assert main(["verify", "--output_dir", str(copy)]) == 0
    output = capsys.readouterr()
    assert "theory.json is complete and unchanged, so it is not measured again" in output.err
    assert (copy / THEORY_FILE).stat().st_mtime_ns == stamp
    lines = output.out.splitlines()
    found = check_theorem(DimensionProfile.from_pretrained(copy), record_of(copy).jacobians)
    dimension = found[0]
    left = f"{dimension.left:.2f} ± {dimension.standard_error:.2f}"
    assert lines[1].startswith("block 1 ")
    assert f" {left}  " in lines[1]
    assert f" {dimension.rank}  " in lines[1]
    assert lines[-1] == str(copy / "report.html")


def test_json_holds_what_follows_from_the_spectra(copy, capsys):
    assert main(["verify", "--output_dir", str(copy), "--json"]) == 0
    payload = json.loads(capsys.readouterr().out)
    plan, theory = RankPlan.from_pretrained(copy), record_of(copy)
    assert {one["module"]: one["planned_rank"] for one in payload["modules"]} == plan.modules
    assert len(payload["inequalities"]) == len(theory.jacobians)
    assert len(payload["fishers"]) == len(theory.fishers)
    assert payload["theory"] == str(copy / THEORY_FILE)


def test_without_its_adapter_a_run_has_no_bound_in_use(measured, copy, monkeypatch):
    monkeypatch.setattr(f"{MEASURING}.block_jacobians", None)
    shutil.rmtree(copy / ADAPTER_FOLDER)
    (copy / METRICS_FILE).unlink()
    assert main(["verify", "--output_dir", str(copy)]) == 0
    before, theory = record_of(measured), record_of(copy)
    assert replace(theory, seconds=before.seconds) == before


def test_another_record_is_refused_until_overwrite(measured, tmp_path, quick, error_of):
    folder = shutil.copytree(measured, tmp_path / "copy")
    arguments = ["verify", "--output_dir", str(folder), "--fisher_samples", "3"]
    message = error_of(arguments)
    assert "holds the theory.json of another run: --fisher_samples is 6 there, 3 now" in message
    assert main([*arguments, "--overwrite"]) == 0
    assert {one.num_samples for one in record_of(folder).fishers} == {3}


def test_what_is_trained_or_planned_anew_takes_the_record_with_it(copy):
    assert main(["train", "--output_dir", str(copy), *QUICK, "--overwrite"]) == 0
    assert not (copy / THEORY_FILE).exists()
    shutil.copy(copy / "rank_plan.json", copy / THEORY_FILE)
    assert main(["plan", "--output_dir", str(copy), "--min_rank", "2", "--overwrite"]) == 0
    assert not (copy / THEORY_FILE).exists()


def test_an_adapter_of_another_plan_is_refused_before_anything_is_measured(
    copy, monkeypatch, error_of
):
    monkeypatch.setattr(f"{MEASURING}.block_jacobians", None)
    assert main(["plan", "--output_dir", str(copy), "--min_rank", "2", "--overwrite"]) == 0
    assert "rank" in error_of(["verify", "--output_dir", str(copy)])
    assert not (copy / THEORY_FILE).exists()


def test_texts_without_labels_have_no_fisher_information(flags, out, quick, capsys):
    without = [*flags[: flags.index("--label_column")], "--max_length", "32"]
    assert main(["verify", *without, *FEW]) == 0
    theory = record_of(out)
    assert theory.fishers == ()
    assert set(theory.seconds) == {"jacobians"}
    output = capsys.readouterr()
    assert "has no labels, so its Fisher information is not measured." in output.err
    assert "Fisher" not in output.out


def test_jacobians_are_of_the_texts_and_settings_that_the_flags_name(
    flags, out, monkeypatch, measured
):
    asked = {}

    def jacobians(model, tokenizer, texts, **settings):
        del model, tokenizer
        asked.update(settings, num_texts=len(texts))
        return record_of(measured).jacobians

    monkeypatch.setattr(f"{MEASURING}.block_jacobians", jacobians)
    more = ["--tolerance", "0.01", "--seed", "7", "--jacobian_rank", "5", "--pooling", "first"]
    assert main(["verify", *flags, *FEW, *more, "--target_modules", "all-linear"]) == 0
    assert asked == {
        "target_modules": ("all-linear",), "pooling": "first", "num_samples": 2, "max_rank": 5,
        "max_length": 32, "tolerance": 0.01, "seed": 7, "progress": False, "num_texts": 96,
    }  # fmt: skip
    assert set(asked) - {"num_texts"} <= set(block_jacobians.__kwdefaults__)
    assert record_of(out).tolerance == 0.01


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["--tolerance", "0"],
            "tolerance must be a share of the largest singular value, above 0 and ",
        ),
        (["--tolerance", "1"], "above 0 and below 1. Got 1."),
        (["--tolerance", "nan"], "above 0 and below 1. Got 'nan'."),
        (
            ["--jacobian_samples", "0"],
            "jacobian_samples must be a whole number, at least 1. Got 0.",
        ),
        (["--jacobian_rank", "0"], "jacobian_rank must be a whole number, at least 1. Got 0."),
        (["--fisher_samples", "0"], "fisher_samples must be a whole number, at least 1. Got 0."),
        (["--load_in_4bit"], "verify without --load_in_4bit or --load_in_8bit, in another"),
        (["--min_rank", "0"], "min_rank must be a whole number, at least 1. Got 0."),
        (["--init_lora_weights", "nonsense"], "Unknown initialization init_lora_weights='nonsense"),
    ],
)
def test_flags_are_checked_first(flags, out, more, message, error_of):
    assert message in error_of(["verify", *flags, *more])
    assert not out.exists()
