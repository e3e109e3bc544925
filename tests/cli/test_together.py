"""Two processes of `accelerate launch` do what one does: the same ranks, losses and metrics."""

import shutil
import socket
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from gelora.artifacts import METRICS_FILE, PLAN_FILE, PROFILE_FILE, read_json
from gelora.cli import main
from gelora.lab.theory.record import BlockJacobian, TheoryRecord
from tiny_chats import causal_llama, chat_tokenizer, tiny_instructions
from tiny_models import save_tiny, tiny_bert, tiny_tokenizer
from tiny_questions import tiny_questions
from tiny_tasks import tiny_task, write_lines

pytestmark = pytest.mark.slow

# Without dropout, whose random numbers depend on the batch. 96 texts are 6 steps of 16 an epoch,
# and 40 are two batches of 20: none is filled up with texts that were there before.
STEPS = ["--num_train_epochs", "2", "--max_length", "48", "--logging_steps", "1", "--use_cpu"]
STEPS += ["--eval_strategy", "steps", "--eval_steps", "4", "--save_strategy", "steps"]
STEPS += ["--save_steps", "4", "--save_total_limit", "9", "--dimension_steps", "6"]
STEPS += ["--per_device_eval_batch_size", "20"]
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
SIZES = {"num_train": 96, "num_validation": 40}
PROBLEMS = {
    "classification": lambda: (tiny_task(**SIZES), tiny_bert(**STILL), tiny_tokenizer()),
    "question_answering": lambda: (tiny_questions(**SIZES), tiny_bert(**STILL), tiny_tokenizer()),
    "instruction_tuning": lambda: (tiny_instructions(**SIZES), causal_llama(), chat_tokenizer()),
}


def launched(*arguments):
    """Run gelora in two processes; return how that ended."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    launch = [*(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu")]
    launch += ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    launch += ["--dynamo_backend", "no", "--main_process_port", str(port), "-m", "gelora"]
    return subprocess.run(
        [*launch, *arguments], capture_output=True, text=True, check=False, timeout=240
    )


@pytest.fixture(scope="module", params=list(PROBLEMS))
def runs(request, tmp_path_factory):
    """Return the flags, and the folders of a run by one process and by two."""
    folder = tmp_path_factory.mktemp(request.param)
    data, model, tokenizer = PROBLEMS[request.param]()
    save_tiny(model, tokenizer, folder / "model")
    names = {"text_pair": "context"} if request.param == "question_answering" else {}
    names |= {"text": "question"} if names else {}
    flags = ["run", "--model_name_or_path", str(folder / "model"), *STEPS]
    flags += ["--task_type", request.param, "--doc_stride", "16"]
    for split in ("train", "validation"):
        rows = getattr(data, split)
        columns = {names.get(name, name): list(rows[name]) for name in rows.column_names}
        flags += [f"--{split}_file", str(write_lines(folder / f"{split}.jsonl", **columns))]
    one, two = folder / "one", folder / "two"
    alone = ["--output_dir", str(one), "--per_device_train_batch_size", "16"]
    assert main([*flags, *alone]) == 0
    flags += ["--output_dir", str(two), "--per_device_train_batch_size", "8"]
    ended = launched(*flags)
    assert ended.returncode == 0, ended.stderr
    return flags, one, two, ended


def histories(one, two):
    return (read_json(folder / METRICS_FILE, kind="metrics")["history"] for folder in (one, two))


def weights(folder):
    """Return what was trained and is told apart by the loss.

    The bias of an answer's scores is not: every token has it, and its gradient is rounding alone.
    """
    saved = load_file(folder / "adapter" / "adapter_model.safetensors")
    return {name: tensor for name, tensor in saved.items() if "qa_outputs.bias" not in name}


def test_ranks_losses_weights_and_metrics_are_those_of_one(runs):
    _, one, two, _ = runs
    for name in (PROFILE_FILE, PLAN_FILE):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    left, right = histories(one, two)
    assert len([entry for entry in left if "loss" in entry]) == 12
    for alone, together in zip(left, right, strict=True):
        for entry in (alone, together):
            entry.pop("eval_entropy", None)  # TRL's mean over batches, whatever their tokens
        assert_close(together, alone, rtol=1e-4, atol=1e-5)
    left, right = (weights(folder) for folder in (one, two))
    assert_close(left, right, rtol=1e-4, atol=1e-5)
    left, right = (read_json(folder / METRICS_FILE, kind="metrics") for folder in (one, two))
    for part in ("metrics", "baselines"):
        assert_close(right[part], left[part], rtol=1e-4, atol=1e-4)


def test_one_process_writes_and_speaks(runs):
    _, one, two, ended = runs
    names = [{str(path.relative_to(folder)) for path in folder.rglob("*")} for folder in (one, two)]
    states = {name for name in names[1] - names[0] if "rng_state_" in name}
    assert len(states) == 6  # of two processes, at three checkpoints
    alone = {name for name in names[0] if name.endswith("rng_state.pth")}
    assert names[1] - states == names[0] - alone
    assert ended.stdout.count("report.html") == 1
    assert "find_unused_parameters" not in ended.stderr


def test_together_they_verify(runs, tmp_path):
    _, run, _, _ = runs
    few = ["--jacobian_samples", "1", "--fisher_samples", "4"]
    one, two = (shutil.copytree(run, tmp_path / name) for name in ("one", "two"))
    assert main(["verify", "--output_dir", str(one), *few]) == 0
    ended = launched("verify", "--output_dir", str(two), *few)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("report.html") == 1
    alone, together = map(TheoryRecord.from_pretrained, (one, two))
    for part in ("jacobians", "fishers", "updates"):
        left, right = getattr(alone, part), getattr(together, part)
        assert len(left) == len(right) > 0
        assert_close([largest(each) for each in right], [largest(each) for each in left])


def largest(measured):
    """Return the largest singular value of one of a record's entries, or of each of its samples."""
    is_jacobian = isinstance(measured, BlockJacobian)
    spectra = measured.spectra if is_jacobian else (measured.spectrum,)
    return torch.tensor([spectrum.largest for spectrum in spectra])


@pytest.mark.parametrize("runs", ["classification"], indirect=True)
def test_together_they_resume(runs):
    flags, _, two, _ = runs
    before, history = weights(two), read_json(two / METRICS_FILE, kind="metrics")["history"]
    shutil.rmtree(two / "adapter")
    shutil.rmtree(two / "checkpoint-12")
    (two / METRICS_FILE).unlink()
    ended = launched(*flags, "--resume_from_checkpoint", "true")
    assert ended.returncode == 0, ended.stderr
    after = weights(two)
    assert all((before[name] == after[name]).all() for name in before)
    assert read_json(two / METRICS_FILE, kind="metrics")["history"] == history
