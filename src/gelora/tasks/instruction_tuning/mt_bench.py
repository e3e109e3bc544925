"""MT-Bench: its questions, a model's answers, and the file that FastChat's judge reads.

The judge, another model, runs elsewhere. The answer to a question's first turn is part of the
second turn's prompt. Temperatures are FastChat's, one for each category. Every answer is appended
at once, so that a run that was stopped goes on with the questions left.
"""

import hashlib
import json
import os
import time
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.artifacts import write_text
from gelora.errors import (
    ArtifactError,
    ConfigError,
    DataError,
    GeloraWarning,
    OutputExistsError,
    SkippedRowsWarning,
)
from gelora.hidden_states.batches import token_limit
from gelora.hidden_states.forward import evaluation_mode
from gelora.tasks.instruction_tuning.chats import prompt_tokens
from gelora.tasks.instruction_tuning.templates import render
from gelora.tasks.tables import read_file

if TYPE_CHECKING:
    from peft import PeftModel

TEMPERATURES: Mapping[str, float] = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
"""Temperature by category, as in FastChat's `llm_judge`; 0 takes the likeliest token."""

OTHER_TEMPERATURE = 0.7
"""Temperature for questions of any other category."""


@dataclass(frozen=True)
class Question:
    """A question and those that follow it in the same conversation.

    Attributes:
        question_id: As in the file.
        category: Category, which decides the temperature.
        turns: Messages of the user, in order.
    """

    question_id: int | str
    category: str
    turns: tuple[str, ...]

    @property
    def temperature(self) -> float:
        """Sampling temperature of its answers."""
        return TEMPERATURES.get(self.category, OTHER_TEMPERATURE)


def read_questions(path: str | Path) -> list[Question]:
    """Read a file of questions: `question_id`, `turns` and, if they have one, `category`.

    Raises:
        DataError: The file cannot be read, a field is missing or of another kind, or two questions
            have one id.
    """
    table = read_file(path)
    missing = [name for name in ("question_id", "turns") if name not in table.columns]
    if missing:
        names = ", ".join(map(repr, table.columns))
        raise DataError(f"{table.source} has no {missing[0]!r} of MT-Bench's questions: {names}.")
    ids, turns = table.columns["question_id"], table.columns["turns"]
    categories = table.columns.get("category", [None] * len(ids))
    for row, (question_id, texts) in enumerate(zip(ids, turns, strict=True), start=1):
        if not isinstance(question_id, int | str):
            raise DataError(f"Row {row} of {table.source} has {question_id!r} for a question_id.")
        is_texts = isinstance(texts, list) and all(isinstance(t, str) and t.strip() for t in texts)
        if not texts or not is_texts:
            raise DataError(
                f"The turns of question {question_id} of {table.source} are no list of texts but "
                f"{texts!r:.50}."
            )
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if list(ids).count(name) > 1)
        raise DataError(f"{table.source} has two questions of id {twice!r}.")
    return [
        Question(question_id, category or "", tuple(texts))
        for question_id, category, texts in zip(ids, categories, turns, strict=True)
    ]


def draw_questions(path: str | Path | None, *, limit: int | None, seed: int) -> list[Question]:
    """Return the questions of a file, or `limit` of them drawn at random.

    Raises:
        ConfigError: No file is named, or several processes were launched.
        DataError: As `read_questions`.
    """
    if path is None:
        raise ConfigError("mt_bench needs its questions: --validation_file question.jsonl.")
    processes = os.environ.get("WORLD_SIZE", "1")
    if processes != "1":
        raise ConfigError(
            f"mt_bench is answered by one process, and {processes} were launched: run it without "
            "accelerate."
        )
    questions = read_questions(path)
    order = np.random.default_rng(seed).permutation(len(questions))
    return [questions[row] for row in np.sort(order[:limit])]


def answer_questions(
    model: "PreTrainedModel | PeftModel",
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Question],
    file: "AnswerFile",
    *,
    max_new_tokens: int,
    seed: int,
    progress: bool,
) -> None:
    """Answer questions, and write every answer into the file as soon as it is there.

    Args:
        model: As for `answer_question`.
        tokenizer: The model's own.
        questions: Questions to answer.
        file: File that the answers are appended to.
        max_new_tokens: Maximum number of tokens of an answer.
        seed: Seed of the sampling.
        progress: Whether to show a bar.
    """
    for question in tqdm(questions, desc="Answering", disable=not progress):
        turns = answer_question(
            model, tokenizer, question, max_new_tokens=max_new_tokens, seed=seed
        )
        file.append(question.question_id, turns)


def answer_question(
    model: "PreTrainedModel | PeftModel",
    tokenizer: PreTrainedTokenizerBase,
    question: Question,
    *,
    max_new_tokens: int = 1024,
    seed: int = 0,
) -> list[str]:
    """Return the model's answer to every turn of a question.

    Where the model's context is short, each turn gets an equal part of it, so that the first answer
    leaves room for the second.

    Args:
        model: A causal model; its generation settings hold, except for the temperature.
        tokenizer: The model's own, with a chat template.
        question: Question to answer.
        max_new_tokens: Maximum number of tokens of an answer.
        seed: Seed of the sampling; the same for every question, so that a question can be answered
            alone.

    Raises:
        ConfigError: The tokenizer has no chat template, or it refuses a reply.

    Warns:
        SkippedRowsWarning: A turn leaves no room for an answer, which then is empty.
    """
    limit = token_limit(tokenizer, model, None)
    cuda = [model.device] if model.device.type == "cuda" else []
    messages: list[dict[str, str]] = []
    answers: list[str] = []
    with evaluation_mode(model), torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        for turn, text in enumerate(question.turns, start=1):
            messages.append({"role": "user", "content": text})
            prompt = prompt_tokens(tokenizer, [{"prompt": messages}])[0]
            room = max_new_tokens
            if limit is not None:
                room = min(room, limit * turn // len(question.turns) - len(prompt))
            if room < 1:
                _warn_of_no_room(question, turn, len(prompt), limit)
            answer = _generate(model, tokenizer, prompt, question.temperature, room)
            answers.append(answer)
            messages.append({"role": "assistant", "content": answer})
    return answers


def _generate(
    model: "PreTrainedModel | PeftModel",
    tokenizer: PreTrainedTokenizerBase,
    prompt: Sequence[int],
    temperature: float,
    room: int,
) -> str:
    if room < 1:
        return ""
    tokens = torch.tensor([prompt], device=model.device)
    sampling: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        sampling = {"do_sample": True, "temperature": temperature}
    ends = end_tokens(model, tokenizer)
    generate: Any = model.generate  # pyright sees a submodule in it
    generated = generate(
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=room,
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id,
        **sampling,
    )
    answer: list[int] = generated[0, len(prompt) :].tolist()
    if answer[-1] in ends:  # which may be no special token, and then would be shown
        answer.pop()
    return str(tokenizer.decode(answer, skip_special_tokens=True)).strip()


def end_tokens(
    model: "PreTrainedModel | PeftModel", tokenizer: PreTrainedTokenizerBase
) -> list[int]:
    """Return the tokens that end an answer: the model's, the tokenizer's, and the template's.

    A model tuned with a template ends its replies as the template does. That need not be the
    end-of-text token: ChatML on a base model ends replies by `<|im_end|>`.
    """
    known = model.generation_config.eos_token_id if model.generation_config else None
    ends = known if isinstance(known, list) else [known]
    turn_end = _token_of(_reply_end(tokenizer), tokenizer)
    return sorted(
        {token for token in (*ends, tokenizer.eos_token_id, turn_end) if isinstance(token, int)}
    )


def warn_of_no_end(tokenizer: PreTrainedTokenizerBase) -> None:
    """Warn where the template ends a reply without a token that generation can stop at.

    Raises:
        ConfigError: The template refuses a reply.

    Warns:
        GeloraWarning: Nothing follows a reply, or ordinary words.
    """
    text = _reply_end(tokenizer)
    if _token_of(text, tokenizer) is None:
        warnings.warn(
            f"The chat template ends a reply by {text!r:.50}, which is no special token, so a "
            "model tuned with it may write on to --max_new_tokens: let the template end replies "
            f"by {tokenizer.eos_token!r}.",
            GeloraWarning,
            stacklevel=2,
        )


def _reply_end(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return what the template writes behind an assistant's reply, without white space."""
    reply = "gelora"  # a word that no template has of its own
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": reply}]
    try:
        text = str(render(tokenizer, messages, where="a question with a reply", tokenize=False))
    except DataError as error:
        raise ConfigError(str(error)) from error
    return text.rpartition(reply)[2].strip()


def _token_of(text: str, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the first token of a text if it is a special one, or added to the vocabulary."""
    first: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"][:1]
    return first[0] if first and first[0] in tokenizer.added_tokens_decoder else None


def _warn_of_no_room(question: Question, turn: int, length: int, limit: int | None) -> None:
    warnings.warn(
        f"Turn {turn} of question {question.question_id} is {length} tokens long, which leaves no "
        f"room for an answer in its part of the model's {limit}: its answer is empty.",
        SkippedRowsWarning,
        stacklevel=3,
    )


MADE_BY = "gelora"
_BEGINNING = b'{"question_id": '


@dataclass(frozen=True)
class AnswerFile:
    """The file of one model's answers.

    Attributes:
        path: Path of the file; FastChat takes the name before `.jsonl` as the model's name.
        made_by: Settings that the answers depend on: adapter, model, template, seed, length.
            JSON-able.
    """

    path: Path
    made_by: Mapping[str, Any]

    @classmethod
    def of_adapter(
        cls, path: Path, *, weights: Path, template: str, **settings: Any
    ) -> "AnswerFile":
        """Return the file for the answers of an adapter.

        Args:
            path: Path of the file of answers.
            weights: File of the adapter's weights.
            template: Chat template.
            **settings: Further settings that the answers depend on.
        """
        with weights.open("rb") as file:
            adapter = hashlib.file_digest(file, "sha256").hexdigest()
        template_sha256 = hashlib.sha256(template.encode()).hexdigest()
        hashes = {"adapter_sha256": adapter, "chat_template_sha256": template_sha256}
        return cls(path, {**hashes, **settings})

    @property
    def model_id(self) -> str:
        """The model's name."""
        return self.path.stem

    def answered(self) -> set[int | str]:
        """Return the ids of the questions that have an answer.

        A line that was being written when the run stopped is dropped, once all others are known to
        be answers.

        Raises:
            ArtifactError: A line is no answer, or no text.
            OutputExistsError: An answer is another model's, or was made by other settings.
        """
        if not self.path.exists():
            return set()
        lines, is_whole = self._lines()
        answers = [self._answer(line, number) for number, line in enumerate(lines, start=1)]
        for number, answer in enumerate(answers, start=1):
            if answer.get(MADE_BY) != dict(self.made_by):
                raise OutputExistsError(
                    f"Line {number} of {self.path} was made by {answer.get(MADE_BY)}, and these "
                    f"answers would be by {dict(self.made_by)}: name another --answer_file, or add "
                    "--overwrite."
                )
        if not is_whole:
            write_text(self.path, "".join(line + "\n" for line in lines))
        return {answer["question_id"] for answer in answers}

    def remove(self) -> None:
        """Remove the answers, whoever made them.

        Raises:
            ArtifactError: The file holds something else, and stays.
        """
        if self.path.exists():
            for number, line in enumerate(self._lines()[0], start=1):
                self._answer(line, number)
            self.path.unlink()

    def append(self, question_id: int | str, turns: Sequence[str]) -> None:
        """Write an answer behind the others, down to the disk."""
        name = f"{self.model_id}/{question_id}/{json.dumps(dict(self.made_by), sort_keys=True)}"
        line = {
            "question_id": question_id,
            "answer_id": uuid.uuid5(uuid.NAMESPACE_OID, name).hex,
            "model_id": self.model_id,
            "choices": [{"index": 0, "turns": list(turns)}],
            "tstamp": time.time(),
            MADE_BY: dict(self.made_by),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _lines(self) -> tuple[list[str], bool]:
        """Return the lines, without one that was torn, and whether each has its end."""
        *lines, last = self.path.read_bytes().split(b"\n")  # the last may end within a character
        if last and not _is_torn(last):
            lines.append(last)
        try:
            return [line.decode() for line in lines], not last
        except UnicodeDecodeError as error:
            raise ArtifactError(f"{self.path} is no file of answers: {error}.") from error

    def _answer(self, line: str, number: int) -> dict[str, Any]:
        where = f"Line {number} of {self.path}"
        try:
            answer: Any = json.loads(line)
        except json.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict) or not {"question_id", "choices"} <= answer.keys():
            raise ArtifactError(f"{where} is no answer to a question: {line[:50]!r}.")
        return answer


def _is_torn(line: bytes) -> bool:
    """Say whether a line is the beginning of an answer, and not the whole of one."""
    if not (line.startswith(_BEGINNING) or _BEGINNING.startswith(line)):
        return False
    try:
        json.loads(line)
    except ValueError:  # no JSON, or not UTF-8
        return True
    return False
