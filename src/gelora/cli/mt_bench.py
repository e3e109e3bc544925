"""`gelora evaluate --task mt_bench`: questions in, two-turn answers in FastChat's format out.

The judge is run elsewhere, with FastChat, on the file that this writes.
"""

import hashlib
import logging
import os
from dataclasses import fields
from pathlib import Path

import numpy as np
from peft import PeftConfig
from tqdm.auto import tqdm

from gelora.cli import loading
from gelora.cli.adapters import adapter_of, with_adapter
from gelora.cli.config import Config
from gelora.cli.console import Output, shows_progress
from gelora.errors import ConfigError
from gelora.exports.saved import WEIGHTS_NAME
from gelora.hidden_states.conversations import check_tokenizer
from gelora.instruction_tuning.answer_file import AnswerFile
from gelora.instruction_tuning.mt_bench import (
    Question,
    answer_question,
    read_questions,
    warn_of_no_end,
)

logger = logging.getLogger(__name__)

ANSWERS_FOLDER = "model_answer"
_TOLD_OTHERWISE = {"model_name_or_path", "chat_template_path"}


def main(config: Config) -> Output:
    """Answer the questions of MT-Bench that have no answer yet, and say where the answers are.

    Raises:
        ArtifactError: There is no adapter in the folder, or the file for the answers holds
            something else.
        ConfigError: No questions are named, or the tokenizer has no chat template, or
            the adapter was trained for something else than writing.
        OutputExistsError: The answers that are there were made otherwise.
    """
    questions = _questions(config)
    folder, adapter, config = adapter_of(config)
    tokenizer = loading.tokenizer_of(config)
    check_tokenizer(tokenizer, chats=True)
    file = _answer_file(config, folder, str(tokenizer.chat_template))
    if config.run.overwrite:
        file.remove()
    answered = file.answered()
    ahead = [question for question in questions if question.question_id not in answered]
    if answered:
        logger.info("%s has %d answers, which stay.", file.path, len(answered))
    if ahead:
        warn_of_no_end(tokenizer)
        _answer(config, folder, adapter, file, ahead)
    said = f"{len(questions)} questions are answered in {file.path}, {len(ahead)} of them now."
    payload = {"questions": len(questions), "answered_now": len(ahead)}
    return Output(said, {"task": "mt_bench", "answer_file": str(file.path), **payload})


def _questions(config: Config) -> list[Question]:
    """Return the questions, or as many of them as were asked for, drawn as other rows are."""
    path = config.data.validation_file
    if path is None:
        raise ConfigError("mt_bench needs its questions: --validation_file question.jsonl.")
    processes = os.environ.get("WORLD_SIZE", "1")
    if processes != "1":
        raise ConfigError(
            f"mt_bench is answered by one process, and {processes} were launched: run it without "
            "accelerate."
        )
    questions = read_questions(path)
    order = np.random.default_rng(config.run.seed).permutation(len(questions))
    return [questions[row] for row in np.sort(order[: config.data.max_eval_samples])]


def _answer_file(config: Config, folder: Path, template: str) -> AnswerFile:
    """Say where the answers go, and all that decides them."""
    with (folder / WEIGHTS_NAME).open("rb") as weights:
        adapter = hashlib.file_digest(weights, "sha256").hexdigest()
    named = config.answers.answer_file
    path = config.folder / ANSWERS_FOLDER / f"{config.folder.resolve().name}.jsonl"
    flags = {one.name: getattr(config.model, one.name) for one in fields(config.model)}
    chosen = {one.name for one in fields(config.model) if flags[one.name] != one.default}
    made_by = {
        "adapter_sha256": adapter,
        "model": config.model_name,
        **{name: flags[name] for name in sorted(chosen - _TOLD_OTHERWISE)},
        "chat_template_sha256": hashlib.sha256(template.encode()).hexdigest(),
        "max_new_tokens": config.answers.max_new_tokens,
        "seed": config.run.seed,
    }
    return AnswerFile(path if named is None else Path(named), made_by)


def _answer(
    config: Config, folder: Path, adapter: PeftConfig, file: AnswerFile, questions: list[Question]
) -> None:
    base, tokenizer = loading.load_causal(config)
    model = with_adapter(base, folder, adapter, problem="instruction_tuning", name="mt_bench")
    for question in tqdm(questions, desc="Answering", disable=not shows_progress(config.run)):
        turns = answer_question(
            model,
            tokenizer,
            question,
            max_new_tokens=config.answers.max_new_tokens,
            seed=config.run.seed,
        )
        file.append(question.question_id, turns)
