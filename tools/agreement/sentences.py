"""Generate the `agreement` task: is an English sentence acceptable?

The grammar, our own, makes pairs of one acceptable and one unacceptable sentence that differ in one
word, or in the order of their words. The validation split holds both; the training split one of
each, for twins are near-copies, and would be most of the geometry that TwoNN measures. Label 1 is
acceptable, as in CoLA. It does not try to cover English: it has a few phenomena, in which

- counting words does not help: numbers, genders and auxiliaries are drawn so that every word is as
  frequent in acceptable sentences as in unacceptable ones, and only their combination decides;
- the nearest noun, or the first one, does not help: attractors of either kind stand between;
- remembering words does not help: the validation split's nouns, verbs, adjectives, adverbs and
  names are unseen in training. Function words are shared, being what the task is about.
"""

import random
from dataclasses import dataclass

from agreement.grammar import PHENOMENA, Draw, Pair
from agreement.lexicon import lexicon

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

    The labels are balanced and the phenomena equally frequent to within a sentence of each label
    and phenomenon, and no sentence occurs twice. The validation split depends on its own size and
    the seed alone.

    Args:
        num_train: Sentences to train on, one of each pair.
        num_validation: Sentences to validate on, an even number: both of each pair.
        seed: The same seed gives the same sentences.

    Returns:
        The training and the validation sentences, shuffled.

    Raises:
        ValueError: A number is negative, or odd for validation, or larger than the grammar has
            sentences for.

    >>> train, validation = agreement(num_train=28, num_validation=20)
    >>> len(train), sum(sentence.label for sentence in train)
    (28, 14)
    """
    if num_train < 0:
        raise ValueError(f"num_train must not be negative; got {num_train}.")
    if num_validation < 0 or num_validation % 2:
        raise ValueError(
            "num_validation must be even and not negative, for both sentences of a pair are in it; "
            f"got {num_validation}."
        )
    train = _pairs("train", num_train, seed)
    validation = _pairs("validation", num_validation // 2, seed)
    # Pairs go round the phenomena, so the label turns with every round.
    one_of_each = [pair[(pair[0].pair // len(PHENOMENA)) % 2] for pair in train]
    both = [sentence for pair in validation for sentence in pair]
    return _shuffled(one_of_each, seed), _shuffled(both, seed)


def _pairs(split: str, size: int, seed: int) -> list[tuple[Sentence, Sentence]]:
    """Return pairs of different sentences, the acceptable one first, one phenomenon in turn."""
    draw = Draw(lexicon(split), random.Random(f"{split} {seed}"))
    phenomena = list(PHENOMENA)
    seen: set[str] = set()
    pairs: list[tuple[Sentence, Sentence]] = []
    for pair in range(size):
        phenomenon = phenomena[pair % len(phenomena)]
        good, bad = _fresh_pair(draw, phenomenon, seen)
        pairs.append((Sentence(good, 1, phenomenon, pair), Sentence(bad, 0, phenomenon, pair)))
    return pairs


def _shuffled(sentences: list[Sentence], seed: int) -> list[Sentence]:
    return random.Random(seed).sample(sentences, len(sentences))


def _fresh_pair(draw: Draw, phenomenon: str, seen: set[str]) -> Pair:
    for _ in range(_ATTEMPTS_PER_PAIR):
        good, bad = (text[0].upper() + text[1:] for text in PHENOMENA[phenomenon](draw))
        if seen.isdisjoint((good, bad)):
            seen.update((good, bad))
            return good, bad
    raise ValueError(
        f"The grammar gave no new pair for {phenomenon} in {_ATTEMPTS_PER_PAIR} attempts after "
        f"{len(seen)} sentences: ask for fewer."
    )
