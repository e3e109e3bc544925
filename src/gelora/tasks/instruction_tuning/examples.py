"""Prompts with completions as tokens: where each completion begins, and what a limit leaves of it.

The tokens are those that TRL's SFTTrainer makes of the same rows; it makes its own, to train on.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerBase

from gelora.tasks.instruction_tuning.chats import example_tokens, prompt_tokens
from gelora.tasks.instruction_tuning.row_options import chat_columns
from gelora.tasks.instruction_tuning.templates import (
    Example,
    conversation_of,
    render,
    template_options,
)

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TokenizedExample:
    """A prompt and its completion.

    Attributes:
        tokens: Of both.
        completion_start: The place of the completion's first token.
    """

    tokens: list[int]
    completion_start: int

    def cut(self, limit: int | None) -> "TokenizedExample":
        """Return the beginning, as the SFTTrainer keeps it."""
        return TokenizedExample(self.tokens[:limit], self.completion_start)

    @property
    def num_predicted(self) -> int:
        """How many of the completion's tokens are predicted from some token before them."""
        return max(len(self.tokens) - max(self.completion_start, 1), 0)


def tokenize_examples(
    dataset: "Dataset", tokenizer: PreTrainedTokenizerBase
) -> list[TokenizedExample]:
    """Return the tokens of a split's rows, uncut.

    Raises:
        ConfigError: The tokenizer has no chat template for messages, or no end-of-text token.
        DataError: The chat template refuses a conversation.
    """
    rows: list[Any] = chat_columns(dataset).to_list()
    whole = example_tokens(tokenizer, rows)
    prompts = prompt_tokens(tokenizer, rows)
    return [
        TokenizedExample(tokens, common_length(prompt, tokens))
        for tokens, prompt in zip(whole, prompts, strict=True)
    ]


def tokenize_replies(
    rows: Sequence[Example], tokenizer: PreTrainedTokenizerBase, *, template: str | None
) -> list[TokenizedExample]:
    """Return the tokens of chats, uncut, with all from the first reply on as the completion.

    Args:
        rows: Chats with what is beside them.
        tokenizer: A fast one, which tells where its tokens come from.
        template: Marks the replies; None for the tokenizer's own.
    """
    encoded: list[Any] = [
        render(
            tokenizer,
            conversation_of(row),
            where=f"the conversation at index {index}",
            chat_template=template,
            return_dict=True,
            return_assistant_tokens_mask=True,
            **template_options(row),
        )
        for index, row in enumerate(rows)
    ]
    return [
        TokenizedExample(list(one["input_ids"]), [*one["assistant_masks"], 1].index(1))
        for one in encoded
    ]


def common_length(tokens: Sequence[int], others: Sequence[int]) -> int:
    """Return how many tokens two sequences begin with alike: where the completion begins.

    It may begin before the prompt alone ends, where tokens merge across the border.

    >>> common_length([5, 6, 7], [5, 6, 8, 9])
    2
    """
    pairs = zip(tokens, others, strict=False)
    different = (place for place, (token, other) in enumerate(pairs) if token != other)
    return next(different, min(len(tokens), len(others)))


@dataclass(frozen=True)
class LengthCounts:
    """What a limit does to a split, and what has no completion before it.

    Attributes:
        rows: All of them.
        empty: Those whose completion has no token of its own: a chat template may leave it out.
        cut: Those that are longer than the limit, and not empty.
        lost: Those of them whose completion begins beyond the limit, so that none of it is left.
        limit: In tokens; None if there is none.
    """

    rows: int
    empty: int
    cut: int
    lost: int
    limit: int | None

    @property
    def left(self) -> int:
        """Those that have a completion within the limit."""
        return self.rows - self.empty - self.lost

    def __str__(self) -> str:
        said: list[str] = []
        if self.cut:
            cut = f"{self.cut} of {self.rows} examples are longer than {self.limit} tokens and are"
            lost = f"; {self.lost} of them have no completion left and are set aside"
            said.append(f"{cut} cut{lost if self.lost else ''}")
        if self.empty:
            said.append(
                f"{self.empty} of {self.rows} examples have no completion once they are written as "
                "tokens, as where a chat template leaves it out, and are set aside"
            )
        return "; ".join(said)


def count_lengths(examples: Sequence[TokenizedExample], limit: int | None) -> LengthCounts:
    """Count the examples that a limit cuts, and those that have no completion or lose it.

    >>> str(count_lengths([TokenizedExample([5, 6, 7], 1), TokenizedExample([5, 6, 7], 2)], 2))
    '2 of 2 examples are longer than 2 tokens and are cut; 1 of them have no completion left and ...
    """
    whole = [example for example in examples if example.num_predicted]
    cut = [example for example in whole if limit is not None and len(example.tokens) > limit]
    lost = sum(example.cut(limit).num_predicted == 0 for example in cut)
    return LengthCounts(len(examples), len(examples) - len(whole), len(cut), lost, limit)
