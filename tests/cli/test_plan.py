"""`gelora plan`: from a profile's file to the table of ranks, without a model."""

import json
import re
from dataclasses import replace

import pytest
import yaml

from example_profiles import make_profile
from gelora.artifacts import CONFIG_FILE, ENVIRONMENT_FILE, PLAN_FILE, PROFILE_FILE, write_json
from gelora.cli import main
from gelora.cli.record import read_stages
from gelora.ranks import RankPlan

GROWING = (5.0, 8.0, 6.0, 7.0)
FLAT = (5.0, 5.1, 5.2, 5.0)


@pytest.fixture
def folder(tmp_path):
    make_profile(GROWING).save_pretrained(tmp_path)
    return tmp_path


def test_the_table_has_a_row_for_every_block(folder, capsys):
    assert main(["plan", "--output_dir", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[:5] == [
        "block      dimension     increment  rank  P(rank)  modules  parameters",
        "layer.0  8.00 ± 0.10  +3.00 ± 0.05     4     1.00        4       1,024",
        "layer.1  6.00 ± 0.10  −2.00 ± 0.05     1     1.00        4         256",
        "layer.2  7.00 ± 0.10  +1.00 ± 0.05     2     1.00        4         512",
        "total                                  7                12       1,792",
    ]
    assert RankPlan.from_pretrained(folder).ranks == (4, 1, 2)


def test_json_is_one_object_on_stdout(folder, capsys):
    assert main(["plan", "--output_dir", str(folder), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert RankPlan.from_dict(printed).ranks == (4, 1, 2)


@pytest.mark.parametrize("rule", ["paper", "confident"])
def test_plan_of_rank_one_everywhere_is_called_plain_lora_and_its_advice_works(
    rule, tmp_path, capsys
):
    make_profile(FLAT).save_pretrained(tmp_path)
    assert main(["plan", "--output_dir", str(tmp_path), "--rank_rule", rule]) == 0
    output = capsys.readouterr().out
    assert "plain LoRA of rank 1" in output
    assert "grows by less than one in 3 of 3 blocks" in output
    advised = re.search(r"plan with (--rank_rule .*)\.", output)[1].split()
    assert main(["plan", "--output_dir", str(tmp_path), *advised, "--overwrite"]) == 0
    assert "uniform LoRA of rank 8" in capsys.readouterr().out
    assert sum(RankPlan.from_pretrained(tmp_path).ranks) == 24


def test_what_to_know_of_the_dimensions_is_said_below_the_ranks(tmp_path, capsys):
    replace(make_profile(GROWING), biased_layers=(2,)).save_pretrained(tmp_path)
    assert main(["plan", "--output_dir", str(tmp_path)]) == 0
    *_, bias, learning_rate = capsys.readouterr().out.splitlines()
    assert bias.startswith("At layer.1 the dimension is so hi")
    assert "--learning_rate 0.001" in learning_rate


def test_halves_have_rows_of_their_own(tmp_path, capsys):
    profile = make_profile((5.0, 8.4, 8.4), granularity="sublayer")
    profile.save_pretrained(tmp_path)
    assert main(["plan", "--output_dir", str(tmp_path), "--rank_rule", "confident"]) == 0
    assert capsys.readouterr().out.splitlines()[:4] == [
        "sublayer             dimension     increment  rank  P(enough)  modules  parameters",
        "layer.0/attention  8.40 ± 0.10  +3.40 ± 0.05     5       1.00        4       1,280",
        "layer.0/mlp        8.40 ± 0.10   0.00 ± 0.05     0                   0           0",
        "total                                            5                   4       1,280",
    ]


def test_the_folder_remembers_the_flags(folder):
    (folder / CONFIG_FILE).write_text("# gelora 0.1.0\nnum_samples: 77\nmin_rank: 3\n")
    assert main(["plan", "--output_dir", str(folder), "--max_rank", "9"]) == 0
    text = (folder / CONFIG_FILE).read_text()
    assert text.startswith("# gelora ")
    assert "gelora run --config" in text
    config = yaml.safe_load(text)
    assert config["num_samples"] == 77  # another verb's
    assert config["min_rank"] == 3  # this verb's, as it was given before
    assert config["max_rank"] == 9


def test_an_unchanged_plan_is_left_alone(folder, capsys):
    arguments = ["plan", "--output_dir", str(folder)]
    assert main(arguments) == 0
    before = (folder / PLAN_FILE).stat().st_mtime_ns
    assert main(arguments) == 0
    assert (folder / PLAN_FILE).stat().st_mtime_ns == before
    assert "rank_plan.json is complete and unchanged" in capsys.readouterr().err


def test_another_plan_is_not_overwritten_unasked(folder, error_of):
    main(["plan", "--output_dir", str(folder)])
    before = (folder / PLAN_FILE).read_bytes()
    message = error_of(["plan", "--output_dir", str(folder), "--min_rank", "3"])
    assert "is of another run: ranks [4, 1, 2] there, [4, 3, 3] now" in message
    assert "--overwrite" in message
    assert (folder / PLAN_FILE).read_bytes() == before
    assert main(["plan", "--output_dir", str(folder), "--min_rank", "3", "--overwrite"]) == 0
    assert RankPlan.from_pretrained(folder).ranks == (4, 3, 3)


@pytest.mark.parametrize("named", ["file", "folder"])
def test_a_named_profile_is_kept_beside_its_plan(folder, tmp_path, named):
    source = folder / PROFILE_FILE if named == "file" else folder
    out = tmp_path / "out"
    assert main(["plan", "--profile", str(source), "--output_dir", str(out)]) == 0
    assert (out / PROFILE_FILE).read_bytes() == (folder / PROFILE_FILE).read_bytes()
    assert (out / PLAN_FILE).exists()


def test_a_named_profile_without_an_output_folder_is_planned_where_it_lies(folder):
    assert main(["plan", "--profile", str(folder / PROFILE_FILE)]) == 0
    assert (folder / PLAN_FILE).exists()


def test_another_profile_is_not_overwritten(folder, tmp_path, error_of):
    out = tmp_path / "out"
    make_profile(FLAT).save_pretrained(out)
    before = (out / PROFILE_FILE).read_bytes()
    arguments = ["plan", "--profile", str(folder), "--output_dir", str(out)]
    assert f"{out / PROFILE_FILE} is of another run" in error_of(arguments)
    assert (out / PROFILE_FILE).read_bytes() == before


@pytest.mark.parametrize(("dimensions", "stages"), [(FLAT, set()), (GROWING, {"measure"})])
def test_a_replaced_profile_takes_the_record_of_its_measuring_along(
    folder, tmp_path, dimensions, stages
):
    out = tmp_path / "out"
    make_profile(dimensions).save_pretrained(out)
    write_json(out / ENVIRONMENT_FILE, {"stages": {"measure": {}}}, kind="environment")
    arguments = ["plan", "--profile", str(folder), "--output_dir", str(out), "--overwrite"]
    assert main(arguments) == 0
    assert (out / PROFILE_FILE).read_bytes() == (folder / PROFILE_FILE).read_bytes()
    assert set(read_stages(out)) == stages


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--target_modules", "quary"], "No module of the blocks is named 'quary'. Did you mean"),
        (["--max_rank", "33"], "max_rank 33 is above 32, the smaller side of the largest adapted"),
        (["--min_rank", "0"], "min_rank must be a whole number, at least 1. Got 0."),
        (["--rank_rule", "confident", "--budget", "r=8"], "'confident' spends no budget"),
        (["--rank_rule", "budget"], "--rank_rule 'budget' needs a budget: 'r=8'"),
        (
            ["--budget", "8r"],
            "budget must be a positive number of parameters, or of the form 'r=8'. Got '8r'",
        ),
        (["--min_ranks", "2"], "There is no flag --min_ranks; did you mean 'min_rank'?"),
    ],
)
def test_what_cannot_be_planned(folder, flags, message, error_of):
    assert message in error_of(["plan", "--output_dir", str(folder), *flags])
    assert not (folder / PLAN_FILE).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:200], "is not complete JSON"),
        (lambda text: text.replace('"schema_version": 2', '"schema_version": 9'), "version 9"),
        (lambda text: text.replace("dimension_profile", "rank_plan"), "is of kind 'rank_plan'"),
        (lambda text: text.replace('"pooling"', '"poling"'), "unknown field 'poling'"),
    ],
)
def test_profiles_that_cannot_be_read(folder, change, message, error_of):
    path = folder / PROFILE_FILE
    path.write_text(change(path.read_text()))
    assert message in error_of(["plan", "--output_dir", str(folder)])


def test_no_profile(tmp_path, error_of):
    message = error_of(["plan", "--output_dir", str(tmp_path)])
    assert f"{tmp_path} holds no dimension_profile.json" in message


def test_verbose_adds_the_traceback(tmp_path, capsys):
    assert main(["plan", "--output_dir", str(tmp_path), "--verbose"]) == 2
    message = capsys.readouterr().err
    assert "Traceback (most recent call last)" in message
    assert message.splitlines()[-1].startswith("gelora: ")


@pytest.mark.parametrize(
    ("flags", "rule"),
    [
        ([], "paper"),
        (["--budget", "r=8"], "budget"),
        (["--rank_rule", "confident"], "confident"),
    ],
)
def test_the_rule_that_was_used_is_written(folder, flags, rule):
    assert main(["plan", "--output_dir", str(folder), *flags]) == 0
    assert yaml.safe_load((folder / CONFIG_FILE).read_text())["rank_rule"] == rule
    assert RankPlan.from_pretrained(folder).settings.rule == rule
