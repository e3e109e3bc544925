"""The words of the `agreement` task: our own choice of common English words, in two halves.

Every fourth entry of a table belongs to the validation half and the others to training, so no
noun, verb, adjective, adverb or name is met in both. It holds words alone: the function
words (determiners, auxiliaries, prepositions, reflexives, `no`, `any`, `ever`), which both halves
share because they are what the task is about, are in `grammar.py`.
"""

from dataclasses import dataclass
from typing import TypeVar

Noun = tuple[str, str]
"""Singular and plural; indexed by number, 0 or 1."""

_T = TypeVar("_T")

_VALIDATION_EVERY = 4

# Plurals are regular unless written after a stroke.
_PEOPLE = """
    teacher doctor student lawyer farmer driver child/children artist writer singer dancer nurse
    soldier sailor painter poet pilot judge officer engineer scientist manager worker friend
    neighbor guest player coach/coaches baker hunter actor tourist author editor visitor reporter
    captain guard thief/thieves clerk senator customer musician librarian
"""
_MEN = """
    king boy man/men father brother uncle son husband prince grandfather nephew gentleman/gentlemen
    duke monk lord waiter
"""
_WOMEN = """
    queen girl woman/women mother sister aunt daughter wife/wives princess/princesses grandmother
    niece lady/ladies duchess/duchesses nun actress/actresses waitress/waitresses
"""
_MALE_NAMES = """
    John Peter David Paul James Robert Thomas Henry George Edward Simon Martin Frank Charles Daniel
    Michael Richard William Joseph Andrew Stephen Philip Brian Kevin
"""
_FEMALE_NAMES = """
    Mary Anna Sarah Emma Julia Laura Alice Helen Susan Rachel Diana Maria Lucy Karen Linda Barbara
    Elizabeth Margaret Jane Clara Martha Nancy Ruth Lisa
"""
_THINGS = """
    chair table letter window door box/boxes car bicycle lamp mirror clock book cup bottle
    knife/knives key coat shirt hat shoe bag basket ladder fence boat drum guitar piano camera
    radio coin ring map picture blanket pillow bucket shelf/shelves wheel candle
"""
_THING_ADJECTIVES = """
    old small red heavy broken large blue dirty cheap new green wooden expensive round white
    black strange thin yellow beautiful ugly empty brown simple
"""
_PERSON_ADJECTIVES = """
    tall tired happy famous angry rich poor hungry young brave nervous lonely proud clever quiet
    busy honest lazy calm healthy sick jealous gentle rude
"""
_ADVERBS = """
    often quietly alone outside loudly again sometimes here upstairs indoors today nearby
"""
_SPEECH = "said thought claimed believed insisted heard hoped noticed"
_HANDLING = """
    bought sold painted cleaned moved carried opened lost borrowed repaired hid broke washed dropped
    kept stole
"""
_IMPRESSING = "surprised pleased bored amazed annoyed impressed worried shocked"

# Base, third person singular, past, participle, -ing. The base differs from the participle and
# each makes sense with a person as its object, oneself included.
_TRANSITIVE = """
    admire admires admired admired admiring
    blame blames blamed blamed blaming
    praise praises praised praised praising
    help helps helped helped helping
    see sees saw seen seeing
    trust trusts trusted trusted trusting
    defend defends defended defended defending
    describe describes described described describing
    love loves loved loved loving
    hate hates hated hated hating
    watch watches watched watched watching
    meet meets met met meeting
    accuse accuses accused accused accusing
    protect protects protected protected protecting
    respect respects respected respected respecting
    forget forgets forgot forgotten forgetting
    choose chooses chose chosen choosing
    warn warns warned warned warning
    remember remembers remembered remembered remembering
    doubt doubts doubted doubted doubting
    save saves saved saved saving
    question questions questioned questioned questioning
    mention mentions mentioned mentioned mentioning
    support supports supported supported supporting
    draw draws drew drawn drawing
    ignore ignores ignored ignored ignoring
    teach teaches taught taught teaching
    punish punishes punished punished punishing
    recognize recognizes recognized recognized recognizing
    introduce introduces introduced introduced introducing
    serve serves served served serving
    thank thanks thanked thanked thanking
"""
# Without an object, and with no passive.
_INTRANSITIVE = """
    laugh laughs laughed laughed laughing
    sleep sleeps slept slept sleeping
    smile smiles smiled smiled smiling
    cry cries cried cried crying
    dance dances danced danced dancing
    swim swims swam swum swimming
    jump jumps jumped jumped jumping
    work works worked worked working
    travel travels traveled traveled traveling
    complain complains complained complained complaining
    wait waits waited waited waiting
    shout shouts shouted shouted shouting
    whisper whispers whispered whispered whispering
    speak speaks spoke spoken speaking
    pray prays prayed prayed praying
    fall falls fell fallen falling
"""


@dataclass(frozen=True)
class Verb:
    """The five forms of an English verb."""

    base: str
    singular: str
    past: str
    participle: str
    progressive: str

    @property
    def present(self) -> tuple[str, str]:
        """The third person, indexed by number: `admires`, `admire`."""
        return self.singular, self.base


@dataclass(frozen=True)
class Lexicon:
    """The open-class words of one split."""

    people: tuple[Noun, ...]
    men: tuple[Noun, ...]
    women: tuple[Noun, ...]
    male_names: tuple[str, ...]
    female_names: tuple[str, ...]
    things: tuple[Noun, ...]
    thing_adjectives: tuple[str, ...]
    person_adjectives: tuple[str, ...]
    adverbs: tuple[str, ...]
    speech: tuple[str, ...]
    handling: tuple[str, ...]
    impressing: tuple[str, ...]
    transitive: tuple[Verb, ...]
    intransitive: tuple[Verb, ...]


def _noun(entry: str) -> Noun:
    singular, _, plural = entry.partition("/")
    return singular, plural or f"{singular}s"


def lexicon(split: str) -> Lexicon:
    """Return the words of one split, `train` or `validation`; the two share none.

    >>> lexicon("validation").people[0], lexicon("train").people[0]
    (('teacher', 'teachers'), ('doctor', 'doctors'))
    """

    def ours(entries: list[_T]) -> tuple[_T, ...]:
        is_validation = split == "validation"
        return tuple(
            entry
            for index, entry in enumerate(entries)
            if (index % _VALIDATION_EVERY == 0) == is_validation
        )

    def words(table: str) -> tuple[str, ...]:
        return ours(table.split())

    def nouns(table: str) -> tuple[Noun, ...]:
        return ours([_noun(entry) for entry in table.split()])

    def verbs(table: str) -> tuple[Verb, ...]:
        return ours([Verb(*row.split()) for row in table.strip().splitlines()])

    return Lexicon(
        people=nouns(_PEOPLE),
        men=nouns(_MEN),
        women=nouns(_WOMEN),
        male_names=words(_MALE_NAMES),
        female_names=words(_FEMALE_NAMES),
        things=nouns(_THINGS),
        thing_adjectives=words(_THING_ADJECTIVES),
        person_adjectives=words(_PERSON_ADJECTIVES),
        adverbs=words(_ADVERBS),
        speech=words(_SPEECH),
        handling=words(_HANDLING),
        impressing=words(_IMPRESSING),
        transitive=verbs(_TRANSITIVE),
        intransitive=verbs(_INTRANSITIVE),
    )
