"""Tokenize chats, and prompts with completions, as TRL's SFTTrainer does.

An example is a row as TRL takes it: `{"messages": [...]}`, or `{"prompt": ..., "completion": ...}`
with texts or messages. Messages get the tokenizer's chat template.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.errors import ConfigError, DataError
from gelora.hidden_states.architectures import find_architecture
from gelora.tasks.instruction_tuning.messages import chat_columns
from gelora.tasks.instruction_tuning.templates import (
    Example,
    Message,
    check_written,
    conversation_of,
    render,
    template_options,
)

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import PeftModel

logger = logging.getLogger(__name__)


class Chats:
    """Chats, or prompts with completions, as texts to measure.

    Args:
        rows: What TRL's SFTTrainer takes: mappings with `messages`, or with a `prompt` and a
            `completion`; or the lists of messages alone.

    Raises:
        DataError: A row is something else, or of another kind than the first.

    >>> chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    >>> len(Chats([chat, chat]))
    2
    """

    def __init__(self, rows: Iterable[Any]) -> None:
        self.rows: list[Example] = [
            {"messages": row} if _kind(row) == "chat" else row for row in rows
        ]
        kinds = [_kind(row) for row in self.rows]
        expected = (kinds and kinds[0]) or "list of messages"
        wrong = [index for index, kind in enumerate(kinds) if kind != expected]
        if wrong:
            raise DataError(
                f"{len(wrong)} of {len(kinds)} rows are no {expected}, the first at index "
                f"{wrong[0]}: {self.rows[wrong[0]]!r}. Give rows that are all lists of messages, "
                "or all prompts with completions."
            )

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.rows)

    def tokens(self, tokenizer: PreTrainedTokenizerBase, rows: Sequence[int]) -> list[list[int]]:
        """Return the tokens of some of the rows, as `example_tokens` does."""
        return example_tokens(tokenizer, [self.rows[row] for row in rows])


def _kind(row: object) -> str | None:
    """Return the kind of a row; None if a causal model cannot be tuned on it."""
    match row:
        case [Mapping(), *_]:
            return "chat"
        case {"messages": [Mapping(), *_]} | {
            "prompt": [Mapping(), *_],
            "completion": [Mapping(), *_],
        }:
            return "list of messages"
        case {"prompt": str(), "completion": str()}:
            return "prompt with a completion"
        case _:
            return None


def check_causal(model: "PreTrainedModel | PeftModel") -> None:
    """Refuse a model that is not causal.

    Raises:
        ConfigError: The model attends to later tokens.
    """
    if not find_architecture(model).is_causal:
        raise ConfigError(
            f"Instruction tuning needs a causal model, which writes from left to right, and "
            f"{model.name_or_path} is a {model.config.model_type}: name another."
        )


def is_chat(example: Example) -> bool:
    """Say whether an example is made of messages rather than of texts."""
    return "messages" in example or not isinstance(example["prompt"], str)


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, *, chats: bool) -> None:
    """Refuse a tokenizer that cannot write chats, or cannot end completions.

    Raises:
        ConfigError: It has no chat template for chats, or no token to end completions by.
    """
    name = tokenizer.name_or_path or "the model"
    if chats and not tokenizer.chat_template:
        raise ConfigError(
            f"The tokenizer of {name} has no chat template, so messages cannot be written as text: "
            "name one with --chat_template_path (in Python, tokenizer.chat_template), or give "
            "texts as 'prompt' and 'completion'."
        )
    if not chats and tokenizer.eos_token is None:
        raise ConfigError(
            f"The tokenizer of {name} has no end-of-text token, so a model could not learn where a "
            "completion ends: give it an eos_token."
        )


def example_tokens(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
) -> list[list[int]]:
    """Return the tokens of every example, prompt and completion together.

    Texts end with the end-of-text token, once; how messages end is up to the template.

    Raises:
        ConfigError: As `check_tokenizer`.
        DataError: The chat template refuses a conversation, or leaves out a part of one.
    """
    chats = is_chat(examples[0])
    check_tokenizer(tokenizer, chats=chats)
    if chats:
        check_written(tokenizer, examples)
        return [
            _tokens(tokenizer, example, conversation_of(example), index)
            for index, example in enumerate(examples)
        ]
    end = str(tokenizer.eos_token)
    completions = (str(example["completion"]).removesuffix(end) + end for example in examples)
    texts = [
        example["prompt"] + completion
        for example, completion in zip(examples, completions, strict=True)
    ]
    return list(tokenizer(texts)["input_ids"])


def prompt_tokens(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
) -> list[list[int]]:
    """Return the tokens of every example's prompt alone, with the generation prompt.

    Raises:
        ConfigError: As `check_tokenizer`.
        DataError: The chat template refuses a conversation.
    """
    chats = is_chat(examples[0])
    check_tokenizer(tokenizer, chats=chats)
    if chats:
        return [
            _tokens(tokenizer, example, list(example["prompt"]), index, add_generation_prompt=True)
            for index, example in enumerate(examples)
        ]
    return list(tokenizer([example["prompt"] for example in examples])["input_ids"])


def _tokens(
    tokenizer: PreTrainedTokenizerBase,
    example: Example,
    conversation: list[Message],
    index: int,
    **options: Any,
) -> list[int]:
    encoded = render(
        tokenizer,
        conversation,
        where=f"the conversation at index {index}",
        tokenize=True,
        return_dict=True,
        **template_options(example),
        **options,
    )
    return list(encoded["input_ids"])


@dataclass(frozen=True)
class TokenizedExample:
    """A prompt and its completion.

    Attributes:
        tokens: Tokens of the prompt and the completion.
        completion_start: Index of the completion's first token.
    """

    tokens: list[int]
    completion_start: int

    def cut(self, limit: int | None) -> "TokenizedExample":
        """Return the first `limit` tokens, as the SFTTrainer keeps them."""
        return TokenizedExample(self.tokens[:limit], self.completion_start)

    @property
    def num_predicted(self) -> int:
        """Number of the completion's tokens that are predicted from tokens before them."""
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
        TokenizedExample(list(row["input_ids"]), [*row["assistant_masks"], 1].index(1))
        for row in encoded
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
    """Numbers of examples that a limit cuts, and of examples without a completion.

    Attributes:
        rows: Number of all examples.
        empty: Examples whose completion has no token; a chat template may leave it out.
        cut: Examples with a completion that are longer than the limit.
        lost: Cut examples whose completion begins beyond the limit, so that none of it is left.
        limit: Limit in tokens; None for no limit.
    """

    rows: int
    empty: int
    cut: int
    lost: int
    limit: int | None

    @property
    def left(self) -> int:
        """Number of examples that have a completion within the limit."""
        return self.rows - self.empty - self.lost

    def __str__(self) -> str:
        parts: list[str] = []
        if self.cut:
            cut = f"{self.cut} of {self.rows} examples are longer than {self.limit} tokens and are"
            lost = f"; {self.lost} of them have no completion left and are set aside"
            parts.append(f"{cut} cut{lost if self.lost else ''}")
        if self.empty:
            parts.append(
                f"{self.empty} of {self.rows} examples have no completion once they are written as "
                "tokens, as where a chat template leaves it out, and are set aside"
            )
        return "; ".join(parts)


def count_lengths(examples: Sequence[TokenizedExample], limit: int | None) -> LengthCounts:
    """Count the examples that a limit cuts, and those that have no completion or lose it.

    >>> str(count_lengths([TokenizedExample([5, 6, 7], 1), TokenizedExample([5, 6, 7], 2)], 2))
    '2 of 2 examples are longer than 2 tokens and are cut; 1 of them have no completion left and ...
    """
    whole = [example for example in examples if example.num_predicted]
    cut = [example for example in whole if limit is not None and len(example.tokens) > limit]
    lost = sum(example.cut(limit).num_predicted == 0 for example in cut)
    return LengthCounts(len(examples), len(examples) - len(whole), len(cut), lost, limit)
