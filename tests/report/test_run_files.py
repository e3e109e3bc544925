import json

import pytest

from gelora.artifacts import CONFIG_FILE, METRICS_FILE, PLAN_FILE, PROFILE_FILE
from gelora.errors import ArtifactError
from gelora.report import write_report
from gelora.report.run_files import read_run
from report.example_run import example_profile, write_example_run


@pytest.fixture
def run(tmp_path):
    write_example_run(tmp_path)
    return tmp_path


def edit(path, change):
    payload = json.loads(path.read_text())
    change(payload)
    path.write_text(json.dumps(payload))


def test_a_run_knows_its_model_and_task(run):
    found = read_run(run)
    assert (found.model, found.task) == ("FacebookAI/roberta-base", "cola")
    assert list(found.hashes()) == ["profile", "plan", "metrics"]


def test_before_training_the_flags_tell_or_else_the_fingerprint(tmp_path):
    write_example_run(tmp_path, trained=False)
    bare = read_run(tmp_path)
    assert (bare.model, bare.task, bare.metrics) == ("roberta", "your texts", None)
    (tmp_path / CONFIG_FILE).write_text("model_name_or_path: my/model\ntrain_file: texts.csv\n")
    told = read_run(tmp_path)
    assert (told.model, told.task) == ("my/model", "texts.csv")


def test_no_such_folder(tmp_path):
    with pytest.raises(ArtifactError, match=r"There is no run folder .*nowhere: give the output"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize(("name", "verb"), [(PROFILE_FILE, "measure"), (PLAN_FILE, "plan")])
def test_a_missing_file_names_the_verb_that_makes_it(run, name, verb):
    (run / name).unlink()
    with pytest.raises(ArtifactError, match=f"holds no {name}.*run `gelora {verb}` first"):
        read_run(run)


@pytest.mark.parametrize("name", [PROFILE_FILE, PLAN_FILE, METRICS_FILE])
def test_a_truncated_file(run, name):
    text = (run / name).read_text()
    (run / name).write_text(text[: len(text) // 2])
    with pytest.raises(ArtifactError, match=f"{name} is not complete JSON"):
        read_run(run)


def test_a_plan_from_another_profile_is_refused_with_both_hashes(run):
    named = read_run(run).plan.profile_hash[:12]
    other = example_profile(growth=2.0)
    other.save_pretrained(run)
    found = other.content_hash()[:12]
    message = f"made from a {PROFILE_FILE} with hash {named}, but the one beside it has {found}"
    with pytest.raises(ArtifactError, match=message):
        read_run(run)


def test_metrics_of_another_plan_are_refused(run):
    edit(run / METRICS_FILE, lambda metrics: metrics.update(plan_hash="0" * 64))
    with pytest.raises(ArtifactError, match=f"made from a {PLAN_FILE} with hash 000000000000"):
        read_run(run)


def test_metrics_that_lack_keys_list_them(run):
    def drop(metrics):
        del metrics["num_labels"], metrics["history"]

    edit(run / METRICS_FILE, drop)
    with pytest.raises(ArtifactError, match="lacks num_labels, history: train again"):
        read_run(run)


def test_a_headline_metric_that_is_not_there(run):
    edit(run / METRICS_FILE, lambda metrics: metrics.update(headline_metric="f1"))
    message = "names 'f1' as its headline metric but holds accuracy, matthews_correlation"
    with pytest.raises(ArtifactError, match=message):
        read_run(run)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [1", "config.yaml is not readable YAML"), ("- a\n", "config.yaml holds no flags")],
)
def test_a_config_that_is_no_config(run, text, message):
    (run / CONFIG_FILE).write_text(text)
    with pytest.raises(ArtifactError, match=message):
        read_run(run)
