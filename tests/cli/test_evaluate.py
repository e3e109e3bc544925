"""`gelora evaluate`: the classes must be those that the adapter was trained for."""

import json
import shutil

import pytest

from example_profiles import profile_of
from gelora.artifacts import ADAPTER_FOLDER, METRICS_FILE
from gelora.cli import main
from gelora.ranks import plan_ranks
from tiny_models import tiny_bert

STEPS = ["--max_steps", "1", "--save_strategy", "no", "--eval_strategy", "no", "--use_cpu"]


@pytest.fixture
def trained(flags, out):
    profile = profile_of(tiny_bert())
    profile.save_pretrained(out)
    plan_ranks(profile).save_pretrained(out)
    assert main(["train", *flags, *STEPS]) == 0
    return out


@pytest.fixture
def labelled(data_files, tmp_path):
    """Return a function that writes the training texts with other labels, and its flags."""

    def write(labels):
        path = tmp_path / "other.jsonl"
        rows = [json.loads(line) for line in data_files[0].read_text().splitlines()]
        for i, row in enumerate(rows):
            row["kind"] = labels[i % len(labels)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        columns = ["--text_columns", "sentence", "--label_column", "kind"]
        return ["--train_file", str(path), "--validation_file", str(path), *columns]

    return write


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2], "was trained with num_labels 2, and other has 3: evaluate on the labels"),
        (["no", "yes"], "was trained with label_names None, and other has ['no', 'yes']"),
    ],
)
def test_other_labels_are_refused(trained, labelled, labels, message, error_of):
    error = error_of(["evaluate", "--output_dir", str(trained), *labelled(labels)])
    assert f"The adapter in {trained / ADAPTER_FOLDER} {message}" in error


def test_an_adapter_without_its_run_is_refused_by_its_shapes(
    trained, labelled, model_folder, tmp_path, error_of
):
    alone = tmp_path / "alone" / ADAPTER_FOLDER
    shutil.copytree(trained / ADAPTER_FOLDER, alone)
    (alone.parent / METRICS_FILE).write_text('{"eval_loss": 1.0}')  # of another program
    model = ["--model_name_or_path", str(model_folder)]
    error = error_of(["evaluate", "--adapter", str(alone), *model, *labelled([0, 1, 2])])
    assert f"The adapter in {alone} fits no bert model with num_labels 3, as other has" in error


def test_an_adapter_beside_a_run_is_not_held_to_its_labels(
    trained, labelled, model_folder, error_of
):
    beside = shutil.copytree(trained / ADAPTER_FOLDER, trained / "another")
    model = ["--model_name_or_path", str(model_folder)]
    error = error_of(["evaluate", "--adapter", str(beside), *model, *labelled([0, 1, 2])])
    assert f"The adapter in {beside} fits no bert model with num_labels 3, as other has" in error
