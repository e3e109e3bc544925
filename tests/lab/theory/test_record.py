"""The record of the theory as a file: what is written is what is read."""

import json

import pytest

from gelora.artifacts import THEORY_FILE
from gelora.errors import ArtifactError
from gelora.lab.theory.record import TheoryRecord
from gelora.ranks import plan_ranks
from lab.pages.example_theory import example_theory
from report.example_run import example_profile

PROFILE = example_profile((("layer.0", "layer.1"),))
RECORD = example_theory(PROFILE, plan_ranks(PROFILE))


def test_a_record_survives_its_file(tmp_path):
    path = RECORD.save_pretrained(tmp_path)
    assert path == tmp_path / THEORY_FILE
    assert TheoryRecord.from_pretrained(tmp_path) == RECORD


def test_a_folder_without_one_names_the_verb_that_writes_it(tmp_path):
    message = f"{tmp_path} holds no theory.json: run gelora verify first, or name where it is"
    with pytest.raises(ArtifactError, match=message):
        TheoryRecord.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda payload: payload.pop("seconds"), "seconds"),
        (lambda payload: payload.update(jacobian=[]), "unknown field 'jacobian'"),
        (lambda payload: payload["updates"][0].pop("rank"), "rank"),
        (lambda payload: payload["fishers"][0]["spectrum"].pop("size"), "size"),
        (lambda payload: payload["jacobians"][1]["spectra"][0].pop("residual"), "residual"),
    ],
)
def test_a_record_that_lacks_a_field_or_has_one_too_many(tmp_path, change, field):
    path = RECORD.save_pretrained(tmp_path)
    payload = json.loads(path.read_text())
    change(payload)
    path.write_text(json.dumps(payload))
    with pytest.raises(ArtifactError, match=f"The file of a theory .*{field}"):
        TheoryRecord.from_pretrained(tmp_path)
