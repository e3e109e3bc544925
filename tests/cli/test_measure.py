"""`gelora measure`: its table, its files, when it skips, and bad input in one sentence."""

import json

import pytest
import torch

from gelora.artifacts import PROFILE_FILE, read_json
from gelora.cli import main
from gelora.cli.parsing import parse
from gelora.dimension.profile import DimensionProfile
from tiny_models import save_tiny, tiny_bert, tiny_tokenizer


def test_the_table_has_a_row_for_every_layer(flags, out, capsys):
    assert main(["measure", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    profile = DimensionProfile.from_pretrained(out)
    assert [line.split()[0] for line in lines[1:-2]] == list(profile.layers)
    assert f"{profile.dimensions[1]:.2f} ± {profile.standard_errors[1]:.2f}" in lines[2]
    assert f"all {profile.num_used} are used at every layer" in lines[-2]
    assert "mean pooling. The estimator is twonn_linfit" in lines[-2]


def test_json_is_the_profile(flags, out, capsys):
    assert main(["measure", *flags, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert DimensionProfile.from_dict(printed) == DimensionProfile.from_pretrained(out)


def test_quiet_prints_the_table_and_warnings(flags, capsys):
    assert main(["measure", *flags, "--quiet"]) == 0
    output = capsys.readouterr()
    assert output.out
    assert all(line.startswith("Warning: ") for line in output.err.splitlines())


def test_labels_are_not_needed(flags):
    without = flags[: flags.index("--label_column")]
    assert main(["measure", *without]) == 0


def test_two_calls_give_the_same_bytes(flags, out, tmp_path):
    main(["measure", *flags])
    main(["measure", *flags, "--output_dir", str(tmp_path / "two")])
    assert (out / PROFILE_FILE).read_bytes() == (tmp_path / "two" / PROFILE_FILE).read_bytes()


def test_what_is_complete_and_unchanged_is_skipped(flags, out, capsys):
    main(["measure", *flags])
    first = capsys.readouterr().out
    stamp = (out / PROFILE_FILE).stat().st_mtime_ns
    assert main(["measure", *flags]) == 0
    output = capsys.readouterr()
    assert output.out == first
    assert "is complete and unchanged, so it is not measured again" in output.err
    assert (out / PROFILE_FILE).stat().st_mtime_ns == stamp


def test_another_measurement_is_refused_until_overwrite(flags, out, error_of):
    main(["measure", *flags])
    before = (out / PROFILE_FILE).read_bytes()
    message = error_of(["measure", *flags, "--pooling", "last"])
    assert "the dimension_profile.json of another run: pooling is None there, last now" in message
    assert (out / PROFILE_FILE).read_bytes() == before
    assert main(["measure", *flags, "--pooling", "last", "--overwrite"]) == 0
    assert DimensionProfile.from_pretrained(out).settings.pooling == "last"
    stages = read_json(out / "environment.json", kind="environment")["stages"]
    assert stages["measure"]["inputs"]["pooling"] == "last"


def test_a_profile_from_elsewhere_is_not_overwritten(flags, out, error_of):
    main(["measure", *flags])
    (out / "environment.json").unlink()
    message = error_of(["measure", *flags])
    assert "nothing says how its dimension_profile.json came about" in message


def test_a_crash_before_the_profile_means_measuring_again(flags, out):
    main(["measure", *flags])
    before = (out / PROFILE_FILE).read_bytes()
    (out / PROFILE_FILE).unlink()  # the record is there, the result is not
    assert main(["measure", *flags]) == 0
    assert (out / PROFILE_FILE).read_bytes() == before


def test_another_model_under_the_same_name_is_noticed(flags, tmp_path, error_of):
    folder = tmp_path / "model"
    save_tiny(tiny_bert(), tiny_tokenizer(), folder)
    flags = [*flags, "--model_name_or_path", str(folder)]
    assert main(["measure", *flags]) == 0
    model = tiny_bert()
    with torch.no_grad():
        model.get_input_embeddings().weight.add_(1.0)
    save_tiny(model, tiny_tokenizer(), folder)
    message = "made for a bert model of 3 blocks with other weights"
    assert message in error_of(["measure", *flags])


def test_a_model_without_blocks_is_refused(flags, tmp_path, error_of):
    folder = save_tiny(tiny_bert(num_hidden_layers=0), tiny_tokenizer(), tmp_path / "model")
    message = error_of(["measure", *flags, "--model_name_or_path", str(folder)])
    assert message.startswith("gelora: No blocks were found in BertModel")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--text_columns", "txt"], "'txt'"),
        (["--train_file", "none.jsonl"], "none.jsonl"),
        (["--model_name_or_path", "./nowhere"], "There is no folder ./nowhere: give the folder"),
        (["--num_samples", "20"], "50"),
        (["--num_samples", "0"], "num_samples must be a whole number, at least 1. Got 0."),
        (["--target_modules", "quary"], "No module of the blocks is named 'quary'"),
        (["--num_sample", "9"], "There is no flag --num_sample; did you mean 'num_samples'?"),
        (["--task_name", "colla"], "There is no task 'colla'"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(flags, out, more, message, error_of):
    assert message in error_of(["measure", *flags, *more])
    assert not (out / PROFILE_FILE).exists()


def test_precision_stops_early_and_says_so(flags, out, capsys, monkeypatch):
    monkeypatch.setattr("gelora.hidden_states.growth.FIRST_SIZE", 60)
    assert main(["measure", *flags, "--precision", "100"]) == 0
    profile = DimensionProfile.from_pretrained(out)
    assert (profile.stopped_by, profile.num_texts, profile.settings.precision) == (
        "precision",
        60,
        100.0,
    )
    assert "Measuring stopped after 60 texts" in capsys.readouterr().out


def test_all_texts_are_measured_unless_a_precision_is_asked_for(flags, out):
    main(["measure", *flags])
    profile = DimensionProfile.from_pretrained(out)
    assert (profile.stopped_by, profile.settings.precision) == ("num_samples", None)
    assert "precision: 0.0\n" in (out / "config.yaml").read_text()


def test_settings_of_planning_are_no_inputs_of_measuring(flags, out):
    assert main(["measure", *flags, "--precision", "100", "--target_modules", "query"]) == 0
    before = (out / PROFILE_FILE).stat().st_mtime_ns
    assert main(["measure", *flags, "--precision", "100", "--target_modules", "attention"]) == 0
    assert (out / PROFILE_FILE).stat().st_mtime_ns == before


def test_a_run_in_the_folder_of_a_measurement_does_not_measure_again(flags, out):
    main(["measure", *flags])
    assert parse("run", flags).measuring("run").precision == 0
    assert parse("run", [*flags, "--output_dir", f"{out}-2"]).measuring("run").precision == 0.1
