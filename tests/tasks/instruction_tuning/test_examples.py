"""Where completions begin, and what a limit leaves of them."""

from hypothesis import given
from hypothesis import strategies as st

from gelora.tasks.instruction_tuning.chats import (
    TokenizedExample,
    common_length,
    count_lengths,
    tokenize_examples,
)
from tiny_chats import chat_tokenizer, tiny_instructions

EXAMPLES = st.lists(
    st.integers(1, 12).flatmap(
        lambda size: st.integers(0, size).map(lambda start: TokenizedExample([7] * size, start))
    ),
    min_size=1,
)


@given(EXAMPLES, st.none() | st.integers(1, 14))
def test_every_row_is_whole_cut_or_lost(examples, limit):
    counts = count_lengths(examples, limit)
    kept = [example.cut(limit) for example in examples]
    assert counts.rows == len(examples)
    whole = [example.num_predicted > 0 for example in examples]
    pairs = zip(examples, kept, whole, strict=True)
    assert counts.cut == sum(a != b for a, b, has_completion in pairs if has_completion)
    assert counts.lost <= counts.cut
    assert counts.empty == whole.count(False)
    assert counts.left == sum(example.num_predicted > 0 for example in kept)
    assert all(len(example.tokens) <= (limit or 12) for example in kept)


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_the_common_length_is_the_longest_common_beginning(tokens, others):
    length = common_length(tokens, others)
    assert tokens[:length] == others[:length]
    assert tokens[length : length + 1] != others[length : length + 1] or length == len(tokens)


def test_completions_begin_behind_what_asks_for_them():
    tokenizer = chat_tokenizer()
    for example, row in zip(
        tokenize_examples(tiny_instructions(turns=2).train, tokenizer),
        tiny_instructions(turns=2).train,
        strict=True,
    ):
        said = tokenizer.decode(example.tokens[example.completion_start :])
        assert said == row["completion"][0]["content"] + " [SEP]"
        assert example.num_predicted == len(example.tokens) - example.completion_start
