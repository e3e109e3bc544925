"""What the Hub reads of a card: names that can be there, and whose the validation set is."""

import pytest

from gelora.report.card_metadata import card_metadata, is_on_hub
from report.example_problems import PROBLEMS


@pytest.mark.parametrize("name", ["gpt2", "me/my-model", "nyu-mll/glue"])
def test_names_that_can_be_on_the_hub(name):
    assert is_on_hub(name)


@pytest.mark.parametrize("name", ["", "/models/mine", "./mine", "a/b/c", "models/mine"])
def test_folders_are_not_on_the_hub(name, tmp_path, monkeypatch):
    (tmp_path / "models/mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_on_hub(name)


def metadata(data, **changes):
    metrics = {**PROBLEMS["question_answering"], **changes}
    return card_metadata(metrics, data=data, model="me/model", existing={}).to_dict()


def test_a_file_is_no_data_set_of_the_hub_though_its_task_has_one():
    file = {"file": "dev.jsonl", "sha256": "0", "rows": 4000}
    found = metadata({"train": file, "validation": file})
    (result,) = found["model-index"][0]["results"]
    assert result["dataset"] == {"name": "squad_v2", "type": "local", "split": "validation"}
    assert "datasets" not in found


def test_what_came_from_the_hub_is_named_by_repository_config_and_split():
    origin = {"dataset": "me/questions", "config": "easy", "split": "test", "rows": 4000}
    found = metadata({"train": {"dataset": "you/questions"}, "validation": origin})
    (result,) = found["model-index"][0]["results"]
    assert result["dataset"] == {
        "name": "squad_v2", "type": "me/questions", "config": "easy", "split": "test",
    }  # fmt: skip
    assert found["datasets"] == ["you/questions"]  # what it was trained on


def test_data_of_no_known_origin_name_no_data_set():
    assert "datasets" not in metadata({})
    assert metadata({}, task="reviews.csv")["base_model"] == "me/model"
