"""The tokens of a prompt with its completion, or of a chat: those that TRL's SFTTrainer trains on.

An example is a row as TRL takes it: `{"messages": [...]}`, or `{"prompt": ..., "completion": ...}`
with texts or messages. Messages get the tokenizer's chat template. Nothing is cut here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.errors import ConfigError, DataError
from gelora.hidden_states.architectures import find_architecture
from gelora.tasks.instruction_tuning.templates import (
    Example,
    Message,
    check_written,
    conversation_of,
    render,
    template_options,
)

if TYPE_CHECKING:
    from peft import PeftModel


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
        wanted = (kinds and kinds[0]) or "list of messages"
        wrong = [index for index, kind in enumerate(kinds) if kind != wanted]
        if wrong:
            raise DataError(
                f"{len(wrong)} of {len(kinds)} rows are no {wanted}, the first at index "
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
    """Say what one row is, if it is any that a causal model can be tuned on."""
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
    """Refuse a model that cannot be tuned on instructions.

    Raises:
        ConfigError: It sees what follows a token.
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
