"""`gelora train` and `gelora evaluate`: plans, unfinished training, other runs, bad input."""

import json
import shutil
from dataclasses import replace

import pytest

from example_profiles import profile_of
from gelora.artifacts import ADAPTER_FOLDER, METRICS_FILE, PLAN_FILE, PROFILE_FILE, read_json
from gelora.cli import main
from gelora.ranks import plan_ranks
from tiny_models import tiny_bert

STEPS = ["--max_steps", "4", "--save_strategy", "steps", "--save_steps", "2", "--use_cpu"]
STEPS += ["--eval_strategy", "no", "--save_total_limit", "9", "--lora_dropout", "0.1"]
WEIGHTS = f"{ADAPTER_FOLDER}/adapter_model.safetensors"


@pytest.fixture
def planned(out):
    profile = profile_of(tiny_bert())
    profile.save_pretrained(out)
    plan_ranks(profile).save_pretrained(out)
    return out


def test_training_needs_a_plan(flags, out, error_of):
    assert f"{out} holds no rank_plan.json" in error_of(["train", *flags, *STEPS])


def test_the_table_has_the_majority_beside_the_adapter(flags, planned, capsys):
    assert main(["train", *flags, *STEPS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["metric", "adapter", "majority", "class", "texts"]
    assert lines[1].startswith("accuracy")
    assert any("parameters in the adapter and 66 outside" in line for line in lines)
    assert "gelora run" in lines[-1]  # nothing says whether a linear model does as well


def test_quiet_prints_the_table_alone(flags, planned, capsys):
    assert main(["train", *flags, *STEPS, "--quiet"]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("metric")
    assert not output.err


def test_unfinished_training_says_what_to_do_and_is_resumed_exactly(
    flags, planned, capsys, error_of
):
    arguments = ["train", *flags, *STEPS]
    assert main(arguments) == 0
    before = (planned / WEIGHTS).read_bytes()
    _kill_after(planned, 2)
    message = error_of(arguments)
    assert "holds unfinished training (checkpoint-2): add --resume_from_checkpoint true" in message
    assert main([*arguments, "--resume_from_checkpoint", "true"]) == 0
    assert (planned / WEIGHTS).read_bytes() == before
    assert (planned / METRICS_FILE).exists()


def test_a_named_checkpoint_is_resumed(flags, planned):
    arguments = ["train", *flags, *STEPS]
    assert main(arguments) == 0
    before = (planned / WEIGHTS).read_bytes()
    _kill_after(planned, 4)
    checkpoint = str(planned / "checkpoint-2")
    assert main([*arguments, "--resume_from_checkpoint", checkpoint]) == 0
    assert (planned / WEIGHTS).read_bytes() == before


def test_overwrite_begins_again(flags, planned):
    arguments = ["train", *flags, *STEPS]
    assert main(arguments) == 0
    _kill_after(planned, 2)
    assert main([*arguments, "--overwrite", "--save_strategy", "no"]) == 0
    assert not list(planned.glob("checkpoint-*"))
    assert (planned / METRICS_FILE).exists()


def test_overwrite_removes_nothing_if_it_cannot_begin(flags, planned, error_of):
    arguments = ["train", *flags, *STEPS, "--overwrite"]
    assert main(arguments) == 0
    before = (planned / METRICS_FILE).read_bytes()
    for more in (["--label_column", "x"], ["--model_name_or_path", "./none"], ["--optim", "x"]):
        error_of([*arguments, *more])
        assert (planned / METRICS_FILE).read_bytes() == before
        assert (planned / WEIGHTS).exists()


def test_unfinished_training_with_other_flags_is_another_run(flags, planned, error_of):
    arguments = ["train", *flags, *STEPS]
    assert main(arguments) == 0
    _kill_after(planned, 2)
    more = ["--resume_from_checkpoint", "true", "--weight_decay", "0.5"]
    assert "weight_decay is None there, 0.5 now" in error_of([*arguments, *more])


def test_a_plan_from_elsewhere_is_kept_with_its_profile(flags, planned, tmp_path, capsys):
    other = tmp_path / "other"
    arguments = ["train", *flags, *STEPS, "--output_dir", str(other), "--plan", str(planned)]
    assert main([*arguments, "--json"]) == 0
    for name in (PLAN_FILE, PROFILE_FILE):
        assert (other / name).read_bytes() == (planned / name).read_bytes()
        assert (other / ADAPTER_FOLDER / name).read_bytes() == (planned / name).read_bytes()
    assert json.loads(capsys.readouterr().out) == read_json(other / METRICS_FILE, kind="metrics")


def test_a_plan_of_another_model_is_refused(flags, out, error_of):
    profile = profile_of(tiny_bert(num_hidden_layers=2))
    profile.save_pretrained(out)
    plan_ranks(profile).save_pretrained(out)
    assert "model" in error_of(["train", *flags, *STEPS])
    assert not (out / METRICS_FILE).exists()


def test_a_rank_above_the_matrix_is_refused(flags, planned, error_of):
    plan = plan_ranks(profile_of(tiny_bert()))
    too_high = dict.fromkeys(plan.modules, 33)
    replace(plan, modules=too_high).save_pretrained(planned)
    assert "`ranks` and `modules` must agree" in error_of(["train", *flags, *STEPS])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--label_column", "knid"], "knid"),
        (["--validation_file", "none.csv"], "none.csv"),
        (["--max_step", "9"], "There is no flag --max_step; did you mean 'max_steps'?"),
        (["--resume_from_checkpoint", "nowhere"], "nowhere is no checkpoint to resume from"),
    ],
)
def test_bad_input_is_one_sentence(flags, planned, more, message, error_of):
    assert message in error_of(["train", *flags, *STEPS, *more])
    assert not (planned / METRICS_FILE).exists()


def test_evaluating_nothing_says_so(flags, out, error_of):
    message = error_of(["evaluate", *flags])
    assert message == (
        f"gelora: {out / ADAPTER_FOLDER} holds no adapter: there is no adapter_config.json in it."
    )


def _kill_after(folder, step):
    """Leave what a kill -9 leaves after the checkpoint of a step."""
    shutil.rmtree(folder / ADAPTER_FOLDER)
    (folder / METRICS_FILE).unlink()
    for checkpoint in folder.glob("checkpoint-*"):
        if int(checkpoint.name.removeprefix("checkpoint-")) > step:
            shutil.rmtree(checkpoint)
