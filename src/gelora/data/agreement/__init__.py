"""The generated `agreement` task: is an English sentence acceptable?"""

from gelora.data.agreement.sentences import Sentence, agreement

__all__ = ["Sentence", "agreement"]
