"""Command lines and YAML files in, `Config` out; what is unknown is refused with a suggestion."""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from gelora.cli.config import FLAGS, GROUPS, VERBS, Config, resolved
from gelora.cli.flags import RunFlags
from gelora.cli.parsing import parse
from gelora.cli.values import as_arguments, as_mapping, read_yaml
from gelora.errors import ConfigError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def write(path, text):
    path.write_text(text)
    return str(path)


def test_without_flags_a_run_is_the_embedded_default():
    config = parse("run", [])
    assert config == Config()
    assert config.model_name == "sentence-transformers/all-MiniLM-L6-v2"
    assert config.task_name == "agreement"
    assert config.folder == Path("runs/agreement-all-MiniLM-L6-v2")


def test_no_verb_takes_a_flag_of_two_groups():
    """Only `cut` has names that other groups have, too, and it takes none of these groups."""
    names = [flag.name for group in GROUPS.values() for flag in dataclasses.fields(group)]
    assert {name for name in names if names.count(name) > 1} == {"budget", "tolerance"}
    for verb, described in VERBS.items():
        flags = [f.name for g in described.groups for f in dataclasses.fields(GROUPS[g])]
        assert len(flags) == len(set(flags)), verb
    assert FLAGS["budget"] == "ranks"
    assert FLAGS["tolerance"] == "theory"


def test_every_group_is_some_verbs():
    assert {group for verb in VERBS.values() for group in verb.groups} == set(GROUPS)


@pytest.mark.parametrize(
    ("arguments", "text_columns"),
    [
        (["--text_columns", "a", "b", "--seed", "3"], ("a", "b")),
        (["--text-columns", "a", "--seed=3"], ("a",)),
        (["--seed", "3"], None),
    ],
)
def test_dashes_and_underscores_are_the_same(arguments, text_columns):
    config = parse("measure", arguments)
    assert config.data.text_columns == text_columns
    assert config.run.seed == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--use_dora"], True),
        (["--use_dora", "true"], True),
        (["--use-dora=True"], True),
        (["--use_dora", "false"], False),
        (["--use_dora=false"], False),
        (["--no_use_dora"], False),
        (["--use_dora", "true", "--use_dora", "false"], False),
    ],
)
def test_switches_as_hugging_face_takes_them(arguments, expected):
    assert parse("train", arguments).lora.use_dora is expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], None),
        (["--version_2_with_negative"], True),
        (["--version_2_with_negative", "--seed", "1"], True),
        (["--version_2_with_negative", "true"], True),
        (["--version-2-with-negative=True"], True),
        (["--version_2_with_negative", "false", "--seed", "1"], False),
        (["--version_2_with_negative=FALSE"], False),
        (["--version_2_with_negative", "none"], None),
    ],
)
def test_switches_that_may_be_left_open_are_written_alike(arguments, expected):
    found = parse("evaluate", arguments).question_answering.version_2_with_negative
    assert found is expected


def test_other_flags_are_kept_for_training_arguments():
    config = parse("train", ["--max_steps", "10", "--seed", "1", "--bf16", "--optim=sgd"])
    assert config.extra == {"max_steps": 10, "bf16": True, "optim": "sgd"}
    assert config.run.seed == 1


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        ("measure", ["--num_sample", "9"], "no flag --num_sample; did you mean 'num_samples'?"),
        ("plan", ["--ranks_rule", "paper"], "no flag --ranks_rule; did you mean 'rank_rule'?"),
        (
            "plan",
            ["--learning_rate", "1"],
            "--learning_rate; it is one of gelora inspect, gelora",
        ),
        ("report", ["--zzzzz"], "There is no flag --zzzzz; --help-all lists all flags."),
        ("report", ["stray"], "'stray' is no flag, and no flag before it takes it."),
        ("run", ["stray", "--bf16"], "'stray' is no flag, and no flag before it takes it."),
    ],
)
def test_unknown_flags_are_refused(verb, arguments, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse(verb, arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "x"], "--seed must be a whole number between 0 and 4294967295. Got 'x'."),
        (["--dtype", "int3"], "--dtype must be one of auto, float32, bfloat16, float16. Got 'int3"),
        (["--seed"], "--seed needs a value."),
        (["--seed", "1", "2"], "'2' is no flag, and no flag before it takes it."),
        (["--json", "maybe"], "--json must be True or False. Got 'maybe'."),
        (["--estimator", "twonn_line"], "Got 'twonn_line'. It is now 'twonn_linfit'."),
    ],
)
def test_values_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse("measure", arguments)


def test_lists_of_numbers_are_read_as_numbers():
    comparison = parse("compare", ["--seeds", "1", "2", "--learning_rates", "1e-3"]).comparison
    assert comparison.seeds == (1, 2)
    assert comparison.learning_rates == (0.001,)
    message = "--seeds must be a list of whole numbers. Got ['x']."
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse("compare", ["--seeds", "x"])


def test_a_file_is_read_like_the_command_line_which_overrides_it(tmp_path):
    text = "learning_rate: 1e-3\ntext_columns: [a, b]\nuse_dora: true\nmax_rank: null\nseed: 7\n"
    path = write(tmp_path / "x.yaml", text)
    config = parse("run", ["--seed", "8", "--config", path, "--use_dora", "false"])
    assert config.training.learning_rate == 0.001
    assert config.data.text_columns == ("a", "b")
    assert config.lora.use_dora is False
    assert config.ranks.max_rank is None
    assert config.run.seed == 8


def test_one_file_serves_every_verb(tmp_path):
    path = write(tmp_path / "x.yaml", "num_samples: 60\nmax_steps: 5\nmin-rank: 2\n")
    assert parse("measure", [f"--config={path}"]).extra == {}
    assert parse("plan", ["--config", path]).ranks.min_rank == 2
    assert parse("run", ["--config", path]).extra == {"max_steps": 5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learnin_rate: 1", "for the key 'learnin_rate' in FILE; did you mean 'learning_rate'?"),
        ("data:\n  seed: 1", "The key 'data' in FILE holds keys of its own"),
        ("- seed", "The config file FILE holds no keys"),
        ("seed: [", "The config file FILE is not YAML: while parsing"),
    ],
)
@pytest.mark.parametrize("verb", ["measure", "run"])
def test_files_that_are_refused(tmp_path, verb, text, message):
    path = write(tmp_path / "x.yaml", text)
    with pytest.raises(ConfigError, match=re.escape(message.replace("FILE", path))):
        parse(verb, ["--config", path])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no\.yaml cannot be read: No such file"):
        parse("run", ["--config", str(tmp_path / "no.yaml")])


def test_an_empty_file_changes_nothing(tmp_path):
    assert read_yaml(Path(write(tmp_path / "x.yaml", "# only a comment\n"))) == {}


def test_what_a_command_comes_to_reads_back_as_itself(tmp_path):
    arguments = ["--text_columns", "a", "b", "--max_rank", "9", "--max_steps", "5", "--use_rslora"]
    first = resolved(parse("run", [*arguments, "--overwrite", "--quiet"]), "run")
    path = write(tmp_path / "config.yaml", yaml.safe_dump(first))
    again = parse("run", ["--config", path])
    assert resolved(again, "run") == first
    assert again.run == RunFlags(
        output_dir="runs/agreement-all-MiniLM-L6-v2", config=path
    )  # how the one call behaved is not part of what it did


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        (["--train_file", "d/my.jsonl.gz", "--model_name_or_path", "a/b"], "runs/my-b"),
        (["--dataset_name", "glue/cola", "--model_name_or_path", "./m/"], "runs/cola-m"),
        (["--task_name", "rte", "--output_dir", "x"], "x"),
    ],
)
def test_default_folder_names_data_and_model(arguments, folder):
    assert parse("run", arguments).folder == Path(folder)


def test_flags_and_mappings_are_inverse():
    values = {"a": 1, "b": [1.5, "x"], "c": True, "d": "text", "e": -3}
    assert as_mapping(as_arguments(values)) == values


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_committed_configs_are_valid(path):
    assert parse("run", ["--config", str(path)]).task_name is not None


def test_committed_configs_are_all_tested():
    assert [path.name for path in CONFIGS] == ["quickstart.yaml"]


def test_a_short_name_is_a_key_too(tmp_path):
    path = tmp_path / "short.yaml"
    path.write_text("task: cola\n")
    assert parse("run", ["--config", str(path)]).task_name == "cola"
    assert parse("run", ["--config", str(path), "--task", "sst2"]).task_name == "sst2"
