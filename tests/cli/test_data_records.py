"""The demo never stands in for data that are not named, and a plan knows its texts."""

import pytest
import yaml

from gelora.artifacts import CONFIG_FILE, METRICS_FILE, PLAN_FILE, PROFILE_FILE, read_json
from gelora.cli import main
from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan
from tiny_models import tiny_texts

STEPS = ["--max_steps", "1", "--use_cpu", "--save_strategy", "no", "--eval_strategy", "no"]


@pytest.fixture
def own(model_folder, tmp_path):
    """Measure and plan texts of three classes; return the folder and the file of texts."""
    file = tmp_path / "reviews.csv"
    texts = tiny_texts(120)
    rows = [f"{text},{'abc'[i % 3]}" for i, text in enumerate(texts)]
    file.write_text("\n".join(["review,stars", *rows, ""]))
    out = tmp_path / "own"
    flags = ["--model_name_or_path", str(model_folder), "--train_file", str(file)]
    columns = ["--text_columns", "review", "--label_column", "stars"]
    assert main(["measure", *flags, *columns, "--output_dir", str(out)]) == 0
    assert main(["plan", "--output_dir", str(out)]) == 0
    return out, file


def test_plan_of_another_folder_trains_on_the_data_that_were_measured(own, tmp_path, capsys):
    out, file = own
    other = tmp_path / "own-r8"
    budget = ["--rank_rule", "budget", "--budget", "r=8"]
    assert main(["plan", *budget, "--profile", str(out), "--output_dir", str(other)]) == 0
    assert yaml.safe_load((other / CONFIG_FILE).read_text())["train_file"] == str(file)
    assert main(["train", "--output_dir", str(other), *STEPS]) == 0
    metrics = read_json(other / METRICS_FILE, kind="metrics")
    assert (metrics["task"], metrics["label_names"]) == ("reviews", ["a", "b", "c"])
    third = tmp_path / "third"
    assert main(["train", "--plan", str(other), "--output_dir", str(third), *STEPS]) == 0
    metrics = read_json(third / METRICS_FILE, kind="metrics")
    assert (metrics["task"], metrics["num_labels"]) == ("reviews", 3)
    assert "reviews.csv: 108 texts, 3 classes" in capsys.readouterr().err


def test_profile_and_plan_record_the_texts_without_a_path_of_the_machine(own):
    out, file = own
    data = DimensionProfile.from_pretrained(out).data
    assert data["source"]["file"] == "reviews.csv"
    assert (data["text_columns"], data["label_column"]) == (["review"], "stars")
    assert len(data["texts_sha256"]) == 64
    assert RankPlan.from_pretrained(out).data == data
    for name in (PROFILE_FILE, PLAN_FILE):
        assert str(file.parent) not in (out / name).read_text().replace(str(out), "")


def test_train_refuses_texts_that_changed_unless_they_are_named(own, error_of, capsys):
    out, file = own
    file.write_text(file.read_text().replace("w1 ", "w2 "))
    message = error_of(["train", "--output_dir", str(out), *STEPS])
    assert "made for the texts of reviews.csv (columns 'review', 'stars'), and the" in message
    named = ["--train_file", str(file), "--text_columns", "review", "--label_column", "stars"]
    assert main(["train", "--output_dir", str(out), *named, *STEPS]) == 0
    assert "Warning: The plan was made for the texts of reviews.csv" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["measure", "run", "verify"])
def test_a_model_or_data_alone_is_refused(verb, flags, out, error_of):
    model, data = flags[:2], flags[flags.index("--train_file") :]
    folder = ["--output_dir", str(out)]
    assert "add --train_file" in error_of([verb, *model, *folder])
    assert "add --model_name_or_path" in error_of([verb, *data, *folder])
    assert not out.exists()


@pytest.mark.parametrize("verb", ["measure", "verify"])
def test_only_run_alone_is_the_demo(verb, error_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = error_of([verb])
    assert "The model and the data must be named" in message


def test_train_names_the_data_that_a_plan_from_elsewhere_was_made_for(own, tmp_path, error_of):
    out, _ = own
    far = tmp_path / "far"
    far.mkdir()
    for name in (PROFILE_FILE, PLAN_FILE):
        (far / name).write_bytes((out / name).read_bytes())
    message = error_of(["train", "--output_dir", str(far), *STEPS])
    assert "Its dimensions were measured on reviews.csv (columns 'review', 'stars')" in message
