"""--push_to_hub puts the finished adapter on the Hub, or says before training what is missing."""

import pytest
from safetensors.torch import load_file

import fake_hub
from example_profiles import profile_of
from gelora.artifacts import ADAPTER_FOLDER, METRICS_FILE, PLAN_FILE, PROFILE_FILE
from gelora.cli import main
from gelora.ranks import RankPlan, plan_ranks
from tiny_models import tiny_bert

STEPS = ["--max_steps", "2", "--eval_strategy", "no", "--save_strategy", "no", "--use_cpu"]
PUSH = ["--push_to_hub", "--hub_model_id", "someone/tiny", "--hub_private_repo"]


@pytest.fixture
def planned(out):
    profile = profile_of(tiny_bert())
    profile.save_pretrained(out)
    plan_ranks(profile).save_pretrained(out)
    return out


def test_the_adapter_is_pushed_with_its_card_and_nothing_else(
    flags, planned, tmp_path, monkeypatch
):
    hub = fake_hub.install(monkeypatch, tmp_path / "hub")
    assert main(["train", *flags, *STEPS, *PUSH]) == 0
    pushed = tmp_path / "hub/someone/tiny"
    names = {path.name for path in pushed.iterdir()}
    assert {"adapter_config.json", "README.md", PLAN_FILE, PROFILE_FILE} < names
    assert names == {path.name for path in (planned / ADAPTER_FOLDER).iterdir()}
    ours, theirs = (
        load_file(folder / "adapter_model.safetensors")
        for folder in (planned / ADAPTER_FOLDER, pushed)
    )
    assert ours.keys() == theirs.keys()
    assert "gelora" in (pushed / "README.md").read_text()
    assert RankPlan.from_pretrained("someone/tiny") == RankPlan.from_pretrained(planned)
    assert hub.asked["someone/tiny"]["private"] is True


def test_a_finished_run_is_pushed_without_training_again(
    flags, planned, tmp_path, monkeypatch, capsys
):
    assert main(["train", *flags, *STEPS]) == 0
    fake_hub.install(monkeypatch, tmp_path / "hub")
    capsys.readouterr()
    assert main(["train", *flags, *STEPS, "--push_to_hub"]) == 0
    said = capsys.readouterr().err
    assert "is not trained again" in said
    assert "The adapter is on the Hub: https://hub/someone/out/commit/1" in said
    assert (tmp_path / "hub/someone/out/README.md").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (PUSH, "Pushing to someone/tiny needs a token that may write: set HF_TOKEN, or run"),
        ([*PUSH, "--hub_token", "hf_x"], "hub_token would be kept in the run's config.yaml"),
        ([*PUSH, "--hub_strategy", "every_save"], "hub_strategy is not taken: the adapter is"),
    ],
)
def test_what_is_missing_is_said_before_training(flags, more, message, error_of, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert message in error_of(["run", *flags, *STEPS, *more])


def test_a_hub_that_refuses_leaves_the_finished_run(
    flags, planned, tmp_path, monkeypatch, error_of
):
    hub = fake_hub.install(monkeypatch, tmp_path / "hub")

    def refuse(**kwargs):
        raise ConnectionError("no route to the Hub")

    monkeypatch.setattr(hub, "_upload_folder", refuse)
    message = error_of(["train", *flags, *STEPS, *PUSH])
    assert "did not take the files for someone/tiny (ConnectionError: no route to the" in message
    assert (planned / METRICS_FILE).exists()
    assert (planned / ADAPTER_FOLDER / "README.md").exists()
