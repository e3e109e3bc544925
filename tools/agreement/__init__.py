"""The generator of the `agreement` task: is an English sentence acceptable?"""

from agreement.sentences import Sentence, agreement

__all__ = ["Sentence", "agreement"]
