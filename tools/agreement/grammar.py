"""The grammar of the `agreement` task: its phenomena, each a function that makes a minimal pair.

Every function draws numbers, genders, auxiliaries and words at random and returns an acceptable
sentence and its unacceptable twin, without the capital at the start. Each is symmetric: whichever
word differs between the twins, exchanging all singulars with plurals, men with women or one
auxiliary with another exchanges the two, so no word tells on its own. It knows no split and no
label; that is `sentences.py`.
"""

import random
from collections.abc import Callable

from agreement.lexicon import Lexicon, Noun

# A singular and a plural form each, indexed by number.
_BE = ("is", "are")
_WERE = ("was", "were")
_HAVE = ("has", "have")
_DO = ("does", "do")
_DETERMINERS = (("this", "these"), ("that", "those"))
_PREPOSITIONS = ("near", "behind", "beside", "opposite", "in front of")
_RELATIVE_PRONOUNS = ("that", "who")
_REFLEXIVES = ("himself", "herself")

Pair = tuple[str, str]
"""An acceptable sentence and its unacceptable twin."""


class Draw:
    """Random choices from one split's words."""

    def __init__(self, words: Lexicon, rng: random.Random) -> None:
        self.words = words
        self.choice = rng.choice
        self.sample = rng.sample

    def number(self) -> int:
        """Return 0 for singular or 1 for plural."""
        return self.choice((0, 1))

    def people(self, count: int) -> list[Noun]:
        """Return `count` different nouns for people, in both numbers."""
        return self.sample(self.words.people, count)

    def determiner(self, number: int) -> str:
        """Return a determiner that agrees with `number`."""
        return self.choice(("the", self.choice(_DETERMINERS)[number]))

    def preposition(self) -> str:
        """Return a preposition of place, one that cannot be read as `and` (as `with` can)."""
        return self.choice(_PREPOSITIONS)

    def who(self) -> str:
        """Return a relative pronoun."""
        return self.choice(_RELATIVE_PRONOUNS)

    def predicates(self, number: int) -> Pair:
        """Return a predicate that agrees with `number`, and the same one in the other number."""
        adjective = self.choice(self.words.person_adjectives)
        verb = self.choice(self.words.intransitive)
        forms, rest = self.choice(
            (
                (_BE, adjective),
                (_WERE, adjective),
                (_HAVE, verb.participle),
                (verb.present, self.choice(self.words.adverbs)),
            )
        )
        return f"{forms[number]} {rest}", f"{forms[1 - number]} {rest}"


def _statements(subject: str, predicates: Pair) -> Pair:
    return f"{subject} {predicates[0]}.", f"{subject} {predicates[1]}."


def _adjacent(draw: Draw) -> Pair:
    """As in `These boys are/*is old.`."""
    number = draw.number()
    (noun,) = draw.people(1)
    subject = f"{draw.determiner(number)} {noun[number]}"
    return _statements(subject, draw.predicates(number))


def _prepositional(draw: Draw) -> Pair:
    """As in `The keys near the cabinet are/*is old.`."""
    head, attractor = draw.people(2)
    number = draw.number()
    subject = f"{draw.determiner(number)} {head[number]} {draw.preposition()}"
    subject += f" the {attractor[draw.number()]}"
    return _statements(subject, draw.predicates(number))


def _relative(draw: Draw) -> Pair:
    """`The boys that the girl admires are/*is tall.`, and agreement inside the clause."""
    head, other = draw.people(2)
    number, other_number = draw.number(), draw.number()
    verb = draw.choice(draw.words.transitive)
    opening = f"{draw.determiner(number)} {head[number]} {draw.who()}"
    inner = f"the {other[other_number]}"
    predicates = draw.predicates(number)
    kind = draw.choice(("object", "subject", "inside"))
    if kind == "object":
        finite = draw.choice((verb.past, verb.present[other_number]))
        return _statements(f"{opening} {inner} {finite}", predicates)
    if kind == "subject":
        finite = draw.choice((verb.past, verb.present[number]))
        return _statements(f"{opening} {finite} {inner}", predicates)
    ending = f"{draw.choice(draw.words.intransitive).past} {draw.choice(draw.words.adverbs)}"
    return _statements(
        f"{opening} {inner}",
        (
            f"{verb.present[other_number]} {ending}",
            f"{verb.present[1 - other_number]} {ending}",
        ),
    )


def _determiner(draw: Draw) -> Pair:
    """`The doctor sold these old chairs/*chair.`: the noun or the determiner is changed."""
    thing, other = draw.sample(draw.words.things, 2)
    number = draw.number()
    forms = draw.choice(_DETERMINERS)
    adjectives = ", ".join(draw.sample(draw.words.thing_adjectives, draw.choice((0, 1, 2))))
    between = f" {adjectives} " if adjectives else " "
    good = f"{forms[number]}{between}{thing[number]}"
    bad = draw.choice(
        (
            f"{forms[1 - number]}{between}{thing[number]}",
            f"{forms[number]}{between}{thing[1 - number]}",
        )
    )
    person = f"the {draw.people(1)[0][draw.number()]}"
    name = draw.choice(draw.words.male_names + draw.words.female_names)
    handled = draw.choice(draw.words.handling)
    before, after = draw.choice(
        (
            (f"{draw.choice((name, person))} {handled} ", ""),
            (f"{person} {handled} ", f" {draw.preposition()} the {other[draw.number()]}"),
            ("", f" {draw.choice(draw.words.impressing)} {draw.choice((name, person))}"),
        )
    )
    return f"{before}{good}{after}.", f"{before}{bad}{after}."


def _bound(draw: Draw, antecedent: str, attractor: str, reflexives: Pair) -> Pair:
    """Place a reflexive where `antecedent` binds it and `attractor` does not."""
    verb, other_verb = (verb.past for verb in draw.sample(draw.words.transitive, 2))
    clause = draw.choice(
        (
            f"{antecedent} {draw.who()} {attractor} {verb} {other_verb}",
            f"{antecedent} {draw.who()} {verb} {attractor} {other_verb}",
            f"{attractor} {draw.choice(draw.words.speech)} that {antecedent} {verb}",
            f"{antecedent} {verb}",
        )
    )
    return f"{clause} {reflexives[0]}.", f"{clause} {reflexives[1]}."


def _reflexive_gender(draw: Draw) -> Pair:
    """As in `The king that the queen met praised himself/*herself.`."""
    gender = draw.choice((0, 1))
    nouns = (draw.words.men, draw.words.women)
    names = (draw.words.male_names, draw.words.female_names)
    antecedent = f"the {draw.choice(nouns[gender])[0]}"
    attractor = draw.choice(
        (f"the {draw.choice(nouns[1 - gender])[0]}", draw.choice(names[1 - gender]))
    )
    return _bound(draw, antecedent, attractor, (_REFLEXIVES[gender], _REFLEXIVES[1 - gender]))


def _reflexive_number(draw: Draw) -> Pair:
    """As in `The kings that the prince met praised themselves/*himself.`."""
    gender, number = draw.choice((0, 1)), draw.number()
    nouns = (draw.words.men, draw.words.women)[gender]
    head, other = draw.sample(nouns, 2)
    forms = (_REFLEXIVES[gender], "themselves")
    return _bound(
        draw,
        f"the {head[number]}",
        f"the {other[1 - number]}",
        (forms[number], forms[1 - number]),
    )


def _negative_polarity(draw: Draw) -> Pair:
    """`No boy that the girl met has ever laughed.`, not `The boy that no girl met has ever ...`.

    A negation licenses `any` and `ever` from the main clause alone; the words are the same.
    """
    head, other, third = draw.people(3)
    number = draw.number()
    boy, girl, have, who = head[number], other[number], _HAVE[number], draw.who()
    met, helped = draw.sample(draw.words.transitive, 2)
    if draw.choice((True, False)):
        clause = f"{met.participle} the {girl}"
        ever = draw.choice(
            (f"ever {helped.participle} the {third[1]}", f"{helped.participle} any {third[1]}")
        )
        return (
            f"the {boy} {who} {have} {clause} {have} not {ever}.",
            f"the {boy} {who} {have} not {clause} {have} {ever}.",
        )
    no = ("no", "few")[number]
    ever = draw.choice(
        (
            f"{have} ever {draw.choice(draw.words.intransitive).participle}",
            f"{draw.choice(draw.words.handling)} any {draw.choice(draw.words.things)[1]}",
        )
    )
    return (
        f"{no} {boy} {who} the {girl} {met.past} {ever}.",
        f"the {boy} {who} {no} {girl} {met.past} {ever}.",
    )


PHENOMENA: dict[str, Callable[[Draw], Pair]] = {
    "subject_verb_adjacent": _adjacent,
    "subject_verb_prepositional": _prepositional,
    "subject_verb_relative": _relative,
    "determiner_noun": _determiner,
    "reflexive_gender": _reflexive_gender,
    "reflexive_number": _reflexive_number,
    "negative_polarity": _negative_polarity,
}
