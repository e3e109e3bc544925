"""A file of answers to MT-Bench, one JSON object a line, as FastChat's judge reads it.

Every answer is appended as soon as it is there, so that a run that was stopped goes on with the
questions left. Beside FastChat's fields, a line says by what it was made.
"""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gelora.artifacts import write_text
from gelora.errors import ArtifactError, OutputExistsError

MADE_BY = "gelora"
_BEGINNING = b'{"question_id": '


@dataclass(frozen=True)
class AnswerFile:
    """Where the answers of one model go.

    Attributes:
        path: FastChat takes the name before `.jsonl` for the model's.
        made_by: What the answers depend on: adapter, model, template, seed, length. JSON-able.
    """

    path: Path
    made_by: Mapping[str, Any]

    @classmethod
    def of_adapter(
        cls, path: Path, *, weights: Path, template: str, **settings: Any
    ) -> "AnswerFile":
        """Return the file for the answers of an adapter.

        Args:
            path: Where the answers go.
            weights: The file of the adapter's weights.
            template: The chat template.
            **settings: What else the answers depend on.
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
