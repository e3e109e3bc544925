import dataclasses
import gzip
import re
from collections import Counter

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from agreement import Sentence, agreement
from agreement.__main__ import FOLDER, csv_of
from agreement.grammar import PHENOMENA
from agreement.lexicon import Lexicon, Verb, lexicon

_FUNCTION_WORDS = """
    the this these that those who is are was were has have not no few any ever himself herself
    themselves near behind beside opposite in front of
"""
FUNCTION_WORDS = set(_FUNCTION_WORDS.split())


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def words_in(words: Lexicon) -> set[str]:
    found: set[str] = set()
    for field in dataclasses.fields(words):
        for entry in getattr(words, field.name):
            if isinstance(entry, Verb):
                found |= set(dataclasses.astuple(entry))
            else:
                found |= {entry.lower()} if isinstance(entry, str) else set(entry)
    return found


def in_pairs(sentences: list[Sentence]) -> list[tuple[Sentence, Sentence]]:
    """Return the pairs, the acceptable sentence first."""
    pairs: dict[int, dict[int, Sentence]] = {}
    for sentence in sentences:
        pairs.setdefault(sentence.pair, {})[sentence.label] = sentence
    return [(pair[1], pair[0]) for pair in pairs.values()]


def test_the_same_seed_gives_the_same_sentences_and_another_does_not(seed: int):
    assert agreement(seed=seed) == agreement(seed=seed)
    assert agreement(seed=seed)[0] != agreement(seed=seed + 1)[0]
    assert agreement(num_train=20, seed=seed)[1] == agreement(seed=seed)[1]


def test_sizes_labels_and_phenomena_are_balanced_and_no_sentence_repeats(seed: int):
    for sentences, size in zip(agreement(seed=seed), (4000, 1000), strict=True):
        assert len(sentences) == len({sentence.text for sentence in sentences}) == size
        counts = Counter((sentence.phenomenon, sentence.label) for sentence in sentences)
        assert {phenomenon for phenomenon, _ in counts} == set(PHENOMENA)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_the_validation_twins_differ_in_one_word_or_in_their_order(seed: int):
    _, validation = agreement(seed=seed)
    pairs = in_pairs(validation)
    assert len(pairs) == len(validation) / 2
    for good, bad in pairs:
        assert good.phenomenon == bad.phenomenon
        good_words, bad_words = words_of(good.text), words_of(bad.text)
        if good.phenomenon == "negative_polarity":
            assert sorted(good_words) == sorted(bad_words)
        else:
            assert sum(a != b for a, b in zip(good_words, bad_words, strict=True)) == 1


def test_the_training_split_has_one_of_each_pair(seed: int):
    """Twins are near-copies: with both, TwoNN would measure the distance between twins."""
    train, _ = agreement(seed=seed)
    assert len({sentence.pair for sentence in train}) == len(train)


def test_the_splits_share_function_words_alone(seed: int):
    assert not words_in(lexicon("train")) & words_in(lexicon("validation"))
    assert not (words_in(lexicon("train")) | words_in(lexicon("validation"))) & FUNCTION_WORDS
    train, validation = (
        {word for sentence in split for word in words_of(sentence.text)}
        for split in agreement(seed=seed)
    )
    assert train & validation <= FUNCTION_WORDS
    assert train - FUNCTION_WORDS <= words_in(lexicon("train"))


def test_no_word_tells_acceptable_from_unacceptable(seed: int):
    """Within a phenomenon, a word is as frequent on either side, within five standard errors."""
    train, _ = agreement(num_train=20_000, seed=seed)
    counts: Counter[tuple[str, str, int]] = Counter()
    for sentence in train:
        for word in words_of(sentence.text):
            counts[sentence.phenomenon, word, sentence.label] += 1
    for phenomenon, word, _ in counts:
        bad, good = (counts[phenomenon, word, label] for label in (0, 1))
        assert abs(good - bad) <= 5 * np.sqrt(good + bad), (phenomenon, word, good, bad)


def test_counting_words_stays_near_chance_overall_and_in_every_phenomenon(seed: int):
    train, validation = agreement(seed=seed)
    vectorizer = CountVectorizer(token_pattern=r"\w+")
    features = vectorizer.fit_transform([sentence.text for sentence in train])
    model = LogisticRegression(max_iter=1000).fit(features, [row.label for row in train])
    predicted = model.predict(vectorizer.transform([row.text for row in validation]))
    correct = predicted == np.array([row.label for row in validation])
    assert correct.mean() < 0.55
    for phenomenon in PHENOMENA:
        chosen = np.array([row.phenomenon == phenomenon for row in validation])
        assert correct[chosen].mean() < 0.65, phenomenon


def numbers_of(nouns: tuple[tuple[str, str], ...]) -> dict[str, int]:
    return {form: number for noun in nouns for number, form in enumerate(noun)}


def judge(phenomenon: str, tokens: list[str], words: Lexicon) -> bool | None:
    """Judge a sentence anew, from its words and not by the grammar that made it."""
    determiners = {"this": 0, "that": 0, "these": 1, "those": 1}
    if phenomenon in ("subject_verb_adjacent", "subject_verb_prepositional"):
        singular = {"is", "was", "has", *(verb.singular for verb in words.intransitive)}
        return (numbers_of(words.people)[tokens[1]] == 0) == (tokens[-2] in singular)
    if phenomenon == "determiner_noun":
        things = numbers_of(words.things)
        start = next(at for at, token in enumerate(tokens) if token in determiners)
        noun = next(token for token in tokens[start:] if token in things)
        return determiners[tokens[start]] == things[noun]
    if phenomenon.startswith("reflexive"):
        speech = [at for at, token in enumerate(tokens) if token in words.speech]
        antecedent = tokens[speech[0] + 3] if speech else tokens[1]  # "said that the king"
        men, women = numbers_of(words.men), numbers_of(words.women)
        is_plural = (men | women)[antecedent] == 1
        return tokens[-1] == (
            "themselves" if is_plural else "himself" if antecedent in men else "herself"
        )
    if phenomenon == "negative_polarity":
        if "not" in tokens:
            clause_end = max(at for at, token in enumerate(tokens) if token in ("has", "have"))
            return tokens.index("not") > clause_end
        return tokens[0] in ("no", "few")
    return None


def test_the_labels_follow_the_rules_of_english(seed: int):
    judged = Counter()
    for split, sentences in zip(("train", "validation"), agreement(seed=seed), strict=True):
        for sentence in sentences:
            verdict = judge(sentence.phenomenon, words_of(sentence.text), lexicon(split))
            if verdict is not None:
                assert verdict == bool(sentence.label), sentence.text
                judged[sentence.phenomenon] += 1
    assert set(PHENOMENA) - set(judged) == {"subject_verb_relative"}


def test_the_packaged_files_are_what_the_generator_writes():
    for split, sentences in zip(("train", "validation"), agreement(), strict=True):
        packed = (FOLDER / f"{split}.csv.gz").read_bytes()
        assert gzip.decompress(packed) == csv_of(sentences)
        assert packed[4:8] == bytes(4)  # the header's time, which would differ at every run


def test_a_size_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="num_train must not be negative; got -2"):
        agreement(num_train=-2)
    for size in (7, -2):
        with pytest.raises(ValueError, match=f"num_validation must be even.*got {size}"):
            agreement(num_validation=size)


def test_more_sentences_than_the_grammar_has_are_refused():
    with pytest.raises(ValueError, match=r"no new pair for \w+ in 1000 attempts after \d{4,} sen"):
        agreement(num_validation=100_000)
