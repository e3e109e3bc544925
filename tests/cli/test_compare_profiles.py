"""`gelora compare-profiles`: two files in, tables out, and a file where a folder is named."""

import json
import re
from dataclasses import replace

import pytest

from example_profiles import make_profile, profile_of
from gelora.artifacts import CONFIG_FILE, PROFILE_FILE, read_json
from gelora.cli import main
from gelora.cli.compare_profiles import COMPARISON_FILE, KIND
from gelora.cli.parsing import parse
from gelora.ranks import compare_profiles
from tiny_models import tiny_bert

BEFORE = (5.0, 8.0, 6.0)
AFTER = (5.0, 8.2, 8.5)


@pytest.fixture
def profiles(tmp_path):
    """Write two profiles into folders of their own, and name the first's and the second's file."""
    make_profile(BEFORE).save_pretrained(tmp_path / "one")
    make_profile(AFTER).save_pretrained(tmp_path / "two")
    return [str(tmp_path / "one"), str(tmp_path / "two" / PROFILE_FILE)]


def test_layers_sublayers_and_ranks_stand_side_by_side(profiles, capsys):
    assert main(["compare-profiles", *profiles]) == 0
    layers, sublayers, notes = capsys.readouterr().out.split("\n\n")
    assert layers.splitlines() == [
        "layer       dimension before  dimension after        change",
        "embeddings       5.00 ± 0.10      5.00 ± 0.10   0.00 ± 0.14",
        "layer.0          8.00 ± 0.10      8.20 ± 0.10  +0.20 ± 0.14",
        "layer.1          6.00 ± 0.10      8.50 ± 0.10  +2.50 ± 0.14",
    ]
    headings, *rows = [re.split("  +", line) for line in sublayers.splitlines()]
    assert headings[:4] == ["block", "increment before", "increment after", "change"]
    assert headings[4:] == ["rank before", "P(rank)", "rank after", "P(rank)", "parameters saved"]
    assert [row[:4] for row in rows[:2]] == [
        ["layer.0", "+3.00 ± 0.05", "+3.20 ± 0.05", "+0.20 ± 0.07"],
        ["layer.1", "−2.00 ± 0.05", "+0.30 ± 0.05", "+2.30 ± 0.07"],
    ]
    assert [row[4:] for row in rows[:2]] == [
        ["4", "1.00", "4", "1.00", "0"],
        ["1", "1.00", "2", "0.51", "-256"],
    ]
    assert rows[2] == ["total", "5", "6", "-256"]
    on, moved, asked = notes.splitlines()
    assert on == "98 samples before and 98 after, raw states, mean pooling, twonn_linfit."
    assert moved.startswith("1 of 3 dimensions and 2 of 2 increments change by more than two sta")
    assert asked.endswith(" 5 before and 6 after: 1,280 parameters and 1,536, 256 more.")


@pytest.mark.parametrize(
    ("order", "flags", "last"),
    [
        (-1, [], "6 before and 5 after: 1,536 parameters and 1,280, 256 fewer."),
        (1, ["--budget", "r=8"], "16 before and 16 after: 4,096 parameters and 4,096, as many."),
        (1, ["--by_estimator", "twonn_mle"], "5 before and 6 after: 1,280 parameters and"),
        (1, ["--max_rank", "1"], "2 before and 2 after: 512 parameters and 512, as many."),
        (1, ["--target_modules", "query", "up"], "5 before and 6 after: 800 parameters and 960, 1"),
    ],
)
def test_rules_are_asked_as_gelora_plan_asks_them(profiles, order, flags, last, capsys):
    assert main(["compare-profiles", *profiles[::order], *flags]) == 0
    assert last in capsys.readouterr().out.splitlines()[-1]


def test_halves_are_sublayers(tmp_path, capsys):
    make_profile((5.0, 8.0, 8.0), granularity="sublayer").save_pretrained(tmp_path)
    assert main(["compare-profiles", str(tmp_path), str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "\nsublayer " in out
    assert "\nlayer.0/mlp " in out


def test_json_is_one_object(profiles, capsys):
    assert main(["compare-profiles", *profiles, "--json"]) == 0
    expected = compare_profiles(make_profile(BEFORE), make_profile(AFTER)).to_dict()
    assert json.loads(capsys.readouterr().out) == expected


def test_a_named_folder_keeps_the_comparison_and_no_other_replaces_it(profiles, tmp_path, error_of):
    out = tmp_path / "out"
    arguments = ["compare-profiles", *profiles, "--output_dir", str(out)]
    assert main(arguments) == 0
    assert [path.name for path in out.iterdir()] == [COMPARISON_FILE]
    kept = read_json(out / COMPARISON_FILE, kind=KIND)
    assert kept["ranks"] == [[4, 1], [4, 2]]
    assert main(arguments) == 0  # the same again
    message = error_of([*arguments, "--budget", "r=8"])
    assert f"{out / COMPARISON_FILE} is of other profiles or another rule" in message
    assert read_json(out / COMPARISON_FILE, kind=KIND) == kept
    assert main([*arguments, "--budget", "r=8", "--overwrite"]) == 0
    assert read_json(out / COMPARISON_FILE, kind=KIND)["rule"] == "budget"


def test_without_one_nothing_is_written_nor_asked_of_any_folder(profiles, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    default = parse("compare-profiles", profiles).folder
    default.mkdir(parents=True)
    (default / CONFIG_FILE).write_text("of: something else\n")
    before = sorted(tmp_path.rglob("*"))
    assert main(["compare-profiles", *profiles]) == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_flags_of_a_run_that_lies_there_do_not_count(profiles, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    default = parse("compare-profiles", profiles).folder
    default.mkdir(parents=True)
    (default / CONFIG_FILE).write_text("# gelora 0.1.0\nbudget: r=8\n")
    assert parse("plan", []).ranks.budget == "r=8"
    assert parse("compare-profiles", profiles).ranks.budget is None


def test_both_may_be_named_in_a_file_or_as_flags(profiles, tmp_path):
    path = tmp_path / "pair.yaml"
    path.write_text("before: one\nafter: two\nmin_rank: 2\n")
    config = parse("compare-profiles", ["--config", str(path)])
    assert (config.profile_pair.before, config.profile_pair.after) == ("one", "two")
    assert config.ranks.min_rank == 2
    assert parse("compare-profiles", ["--before", "one", "--after", "two"]).profile_pair == (
        parse("compare-profiles", ["one", "two"]).profile_pair
    )


@pytest.mark.parametrize(
    ("count", "more", "message"),
    [
        (0, [], "named first: gelora compare-profiles BEFORE AFTER [FLAGS]."),
        (1, [], "named first: gelora compare-profiles BEFORE AFTER [FLAGS]."),
        (2, ["three"], "'three' is no flag, and no flag before it takes it."),
        (2, ["--pooling", "last"], "There is no flag --pooling"),
        (2, ["--by_estimator", "gride_8"], "no dimensions by gride_8, only by twonn_linfit"),
        (2, ["--rank_rule", "budget"], "--rank_rule 'budget' needs a budget"),
    ],
)
def test_command_lines_that_are_refused(profiles, count, more, message, error_of):
    assert message in error_of(["compare-profiles", *profiles[:count], *more])


def test_a_missing_profile_is_named(profiles, tmp_path, error_of):
    message = error_of(["compare-profiles", profiles[0], str(tmp_path)])
    assert f"{tmp_path} holds no {PROFILE_FILE}" in message


def test_another_model_s_profile_is_refused(profiles, tmp_path, error_of):
    profile_of(tiny_bert()).save_pretrained(tmp_path / "bert")
    message = error_of(["compare-profiles", profiles[0], str(tmp_path / "bert")])
    assert "only those of one architecture have the same blocks to compare" in message


def test_unlike_numbers_of_samples_are_warned_of(profiles, tmp_path, capsys):
    replace(make_profile(AFTER), num_used=49).save_pretrained(tmp_path / "few")
    assert main(["compare-profiles", profiles[0], str(tmp_path / "few")]) == 0
    assert "Warning: The first profile rests on 98 samples and the second on 49" in (
        capsys.readouterr().err
    )
