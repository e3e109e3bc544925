"""`gelora evaluate --task mt_bench`: questions in, two-turn answers in FastChat's format out.

The judge is run elsewhere, with FastChat, on the file that this writes.
"""

import logging
from dataclasses import asdict, fields
from pathlib import Path

from gelora.cli import loading
from gelora.cli.adapters import adapter_of, with_adapter
from gelora.cli.config import Config
from gelora.cli.console import Output, shows_progress
from gelora.exports.saved import WEIGHTS_NAME
from gelora.tasks.instruction_tuning.chats import check_tokenizer
from gelora.tasks.instruction_tuning.mt_bench import (
    AnswerFile,
    answer_questions,
    draw_questions,
    warn_of_no_end,
)

logger = logging.getLogger(__name__)

ANSWERS_FOLDER = "model_answer"
_NAMED_OTHERWISE = {"model_name_or_path", "chat_template_path"}


def main(config: Config) -> Output:
    """Answer the questions of MT-Bench that have no answer yet, and say where the answers are.

    Raises:
        ArtifactError: There is no adapter in the folder, or the file for the answers holds
            something else.
        ConfigError: No questions are named, or the tokenizer has no chat template, or
            the adapter was trained for something else than writing.
        OutputExistsError: The answers that are there were made otherwise.
    """
    seed, max_new_tokens = config.run.seed, config.answers.max_new_tokens
    questions = draw_questions(
        config.data.validation_file, limit=config.data.max_eval_samples, seed=seed
    )
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
        base, tokenizer = loading.load_causal(config)
        answer_questions(
            with_adapter(base, folder, adapter, problem="instruction_tuning", name="mt_bench"),
            tokenizer,
            ahead,
            file,
            max_new_tokens=max_new_tokens,
            seed=seed,
            progress=shows_progress(config.run),
        )
    text = f"{len(questions)} questions are answered in {file.path}, {len(ahead)} of them now."
    payload = {"questions": len(questions), "answered_now": len(ahead)}
    return Output(text, {"task": "mt_bench", "answer_file": str(file.path), **payload})


def _answer_file(config: Config, folder: Path, template: str) -> AnswerFile:
    """Return where the answers go, with all that decides them."""
    path = config.folder / ANSWERS_FOLDER / f"{config.folder.resolve().name}.jsonl"
    flags = asdict(config.model)
    chosen = {flag.name for flag in fields(config.model) if flags[flag.name] != flag.default}
    return AnswerFile.of_adapter(
        Path(config.answers.answer_file or path),
        weights=folder / WEIGHTS_NAME,
        template=template,
        model=config.model_name,
        **{name: flags[name] for name in sorted(chosen - _NAMED_OTHERWISE)},
        max_new_tokens=config.answers.max_new_tokens,
        seed=config.run.seed,
    )
