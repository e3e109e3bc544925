"""The `agreement` task: is an English sentence acceptable? Generated, so it needs no download.

Sentences come in pairs of one acceptable and one unacceptable sentence that differ in one word, or
in the order of their words. The grammar is our own, the words are in `agreement_lexicon.py`. Label
1 is acceptable, as in CoLA. It does not try to cover English: nine phenomena, in which

- counting words does not help: numbers, genders and auxiliaries are drawn so that every word is as
  frequent in acceptable sentences as in unacceptable ones, and only their combination decides;
- the nearest noun, or the first one, does not help: attractors of either kind stand between;
- remembering words does not help: the validation split's nouns, verbs, adjectives, adverbs and
  names are unseen in training. Function words are shared, being what the task is about.
"""

import random
from dataclasses import dataclass

from gelora.agreement_grammar import PHENOMENA, Draw, Pair
from gelora.agreement_lexicon import lexicon
from gelora.errors import ConfigError

LABEL_NAMES = ("unacceptable", "acceptable")

_ATTEMPTS_PER_PAIR = 1000


@dataclass(frozen=True)
class Sentence:
    """One row of the data set.

    Attributes:
        text: The sentence.
        label: 1 if it is acceptable, 0 if not.
        phenomenon: A key of `PHENOMENA`.
        pair: The number of the pair it belongs to, within its split.
    """

    text: str
    label: int
    phenomenon: str
    pair: int


def agreement(
    *, num_train: int = 4000, num_validation: int = 1000, seed: int = 0
) -> tuple[list[Sentence], list[Sentence]]:
    """Generate the two splits.

    The labels are balanced, the phenomena equally frequent to within a pair, no sentence occurs
    twice, and both sentences of a pair are in the same split. The validation split depends on its
    own size and the seed alone.

    Args:
        num_train: Sentences to train on, an even number.
        num_validation: Sentences to validate on, an even number.
        seed: The same seed gives the same sentences.

    Returns:
        The training and the validation sentences, shuffled.

    Raises:
        ConfigError: A number is odd or negative, or larger than the grammar has sentences for.

    >>> train, validation = agreement(num_train=40, num_validation=20)
    >>> len(train), sum(sentence.label for sentence in train)
    (40, 20)
    """
    return _split("train", num_train, seed), _split("validation", num_validation, seed)


def _split(split: str, size: int, seed: int) -> list[Sentence]:
    if size < 0 or size % 2:
        raise ConfigError(
            f"num_{split} must be even and not negative, for sentences come in pairs; got {size}."
        )
    rng = random.Random(f"{split} {seed}")
    draw = Draw(lexicon(split), rng)
    phenomena = list(PHENOMENA)
    seen: set[str] = set()
    rows: list[Sentence] = []
    for pair in range(size // 2):
        phenomenon = phenomena[pair % len(phenomena)]
        for text, label in zip(_fresh_pair(draw, phenomenon, seen), (1, 0), strict=True):
            rows.append(Sentence(text=text, label=label, phenomenon=phenomenon, pair=pair))
    rng.shuffle(rows)
    return rows


def _fresh_pair(draw: Draw, phenomenon: str, seen: set[str]) -> Pair:
    for _ in range(_ATTEMPTS_PER_PAIR):
        good, bad = (text[0].upper() + text[1:] for text in PHENOMENA[phenomenon](draw))
        if seen.isdisjoint((good, bad)):
            seen.update((good, bad))
            return good, bad
    raise ConfigError(
        f"The grammar gave no new pair for {phenomenon} in {_ATTEMPTS_PER_PAIR} attempts after "
        f"{len(seen)} sentences: ask for fewer."
    )
