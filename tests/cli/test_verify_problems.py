"""`gelora verify` after training on questions and on chats: Fisher information by their labels."""

import pytest

from cli.test_problems import chats, questions  # noqa: F401 - fixtures
from gelora.cli import main
from gelora.lab.theory.record import TheoryRecord

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

FEW = ["--jacobian_samples", "1", "--jacobian_rank", "6", "--fisher_samples", "4"]


@pytest.mark.parametrize("name", ["questions", "chats"])
def test_questions_and_chats_have_fisher_information(name, request, tmp_path):
    flags = request.getfixturevalue(name)
    assert main(["run", *flags, "--max_steps", "1"]) == 0
    assert main(["verify", "--output_dir", str(tmp_path / "out"), *FEW]) == 0
    theory = TheoryRecord.from_pretrained(tmp_path / "out")
    kinds = {(one.of, one.stage) for one in theory.fishers}
    assert kinds == {(of, stage) for of in ("weights", "lora") for stage in ("before", "after")}
    assert {one.num_samples for one in theory.fishers} == {4}
    assert all(one.spectrum.largest > 0 for one in theory.fishers)
