"""The tokens of a prompt with its completion, or of a chat: those that TRL's SFTTrainer trains on.

An example is a row as TRL takes it: `{"messages": [...]}`, or `{"prompt": ..., "completion": ...}`
with texts or messages. Messages get the tokenizer's chat template. Nothing is cut here.
"""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from gelora.errors import ConfigError
from gelora.hidden_states.templates import (
    Example,
    Message,
    check_written,
    conversation_of,
    render,
    template_options,
)


def is_chat(example: Example) -> bool:
    """Say whether an example is made of messages rather than of texts."""
    return "messages" in example or not isinstance(example["prompt"], str)


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, *, chats: bool) -> None:
    """Refuse a tokenizer that cannot write what is to be trained on.

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
    """Return the tokens of every example's prompt alone, with what asks for a reply.

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


def common_length(tokens: Sequence[int], others: Sequence[int]) -> int:
    """Return how many tokens two sequences begin with alike: where the completion begins.

    It may begin before the prompt alone ends, where tokens merge across the border.

    >>> common_length([5, 6, 7], [5, 6, 8, 9])
    2
    """
    pairs = zip(tokens, others, strict=False)
    different = (place for place, (token, other) in enumerate(pairs) if token != other)
    return next(different, min(len(tokens), len(others)))


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
