"""An adapter brings its model's name and its chat template along, and fits what it was made for."""

import json
import shutil

import pytest

from example_profiles import profile_of
from gelora.cli import main
from gelora.cli.adapters import adapter_of
from gelora.cli.parsing import parse
from gelora.errors import ArtifactError
from gelora.ranks import plan_ranks
from gelora.training import wrap
from tiny_chats import TEMPLATE, causal_llama, chat_tokenizer
from tiny_models import save_tiny
from tiny_tasks import write_lines


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Save a model with a chat template and an adapter for it, far from any run's folder."""
    folder = tmp_path_factory.mktemp("saved")
    model = causal_llama()
    model.name_or_path = str(save_tiny(model, chat_tokenizer(), folder / "model"))
    wrapped = wrap(model, plan_ranks(profile_of(model)), "instruction_tuning")
    wrapped.save_pretrained(str(folder / "adapter"), save_embedding_layers=False)
    return folder / "adapter"


@pytest.fixture
def adapter(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "elsewhere")


def test_the_model_and_the_template_are_the_adapter_s_where_none_is_named(adapter):
    config = parse("evaluate", ["--adapter", str(adapter)])
    folder, settings, found = adapter_of(config)
    assert folder == adapter
    assert found.model_name == settings.base_model_name_or_path
    assert found.model.chat_template_path is None
    (adapter / "chat_template.jinja").write_text(TEMPLATE)
    template = str(adapter / "chat_template.jinja")
    assert adapter_of(config)[2].model.chat_template_path == template
    named = ["--model_name_or_path", "x", "--chat_template_path", "y"]
    model = adapter_of(parse("evaluate", ["--adapter", str(adapter), *named]))[2].model
    assert (model.model_name_or_path, model.chat_template_path) == ("x", "y")


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_folder_without_an_adapter_is_refused(name, adapter):
    (adapter / name).unlink()
    with pytest.raises(ArtifactError, match=f"elsewhere holds no adapter: there is no {name} in"):
        adapter_of(parse("evaluate", ["--adapter", str(adapter)]))


def test_texts_are_written_by_the_adapter_s_template(adapter, tmp_path, capsys):
    columns = {name: ["w2 w3", "w4 w5", "w6"] for name in ("instruction", "output")}
    file = write_lines(tmp_path / "chats.jsonl", **columns, input=[""] * 3)
    command = ["evaluate", "--task", "alpaca", "--adapter", str(adapter), "--json"]

    def perplexity(*more):
        assert main([*command, "--validation_file", str(file), *more]) == 0
        output = capsys.readouterr()
        assert "Evaluating with max_length 256." in output.err
        return json.loads(output.out)["metrics"]["perplexity"]

    by_the_model = perplexity()
    other = tmp_path / "other.jinja"
    other.write_text(TEMPLATE.replace("w1 ", "w9 "))
    named = perplexity("--chat_template_path", str(other))
    assert named != by_the_model
    shutil.copy(other, adapter / "chat_template.jinja")
    assert perplexity() == named


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"task_type": "SEQ_CLS"},
            "was trained for SEQ_CLS, and mt_bench (instruction_tuning) ne",
        ),
        ({"r": 3, "rank_pattern": {}}, "fits no llama model: name the model and the data of its"),
    ],
)
def test_an_adapter_for_something_else_answers_no_questions(
    change, message, adapter, tmp_path, error_of
):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    file = write_lines(tmp_path / "question.jsonl", question_id=[1], turns=[["w2"]])
    command = ["evaluate", "--task", "mt_bench", "--adapter", str(adapter)]
    error = error_of([*command, "--validation_file", str(file)])
    assert f"The adapter in {adapter} {message}" in error
