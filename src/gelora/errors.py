"""Everything gelora raises or warns of.

    GeloraError                    catch this to catch all of ours
    ├── ConfigError                a flag, a YAML key, or two that contradict each other
    ├── DataError                  the user's texts, columns or labels
    ├── HiddenStatesError          hidden states that no dimension can be estimated from
    │   ├── NonFiniteStatesError   NaN or infinity, as half precision gives on overflow
    │   └── TooFewSamplesError     fewer usable samples than an estimate needs
    ├── ArchitectureError          blocks or modules that were not found in the model
    ├── RankError                  a rank, a budget or an adapter that does not fit the model
    ├── ArtifactError              a file that is truncated, of another kind, or of a newer schema
    │   ├── ModelMismatchError     a profile or plan used with another model than its own
    │   └── OutputExistsError      an output folder that holds another run
    ├── ComparisonError            runs of a comparison that failed, while the others are there
    └── MissingExtraError          an optional dependency that is not installed

    GeloraWarning                  filter this to filter all of ours
    ├── ConstantStatesWarning      a layer that is the same vector for every text: dimension 0
    ├── DuplicateSamplesWarning    repeated samples were set aside before the estimate
    ├── UnstableDimensionWarning   an estimate that another estimator does not confirm
    ├── ProfileMismatchWarning     profiles compared that rest on unlike numbers of samples
    ├── SkippedRowsWarning         rows of the user's data that could not be used, or not whole
    ├── FrozenHeadWarning          a head that may be new and stays at its random values
    └── ServingWarning             something in an adapter that a server is known to refuse

Each error also is the builtin that a caller would expect (`ValueError`, `ImportError`, ...). A
message is one sentence or two: what was wrong, with the values, and what to do.
"""


class GeloraError(Exception):
    """Base of all errors that gelora raises on purpose."""


class ConfigError(GeloraError, ValueError):
    """A flag or a YAML key is unknown, malformed, or contradicts another."""


class DataError(GeloraError, ValueError):
    """The user's data cannot be used as asked: columns, texts, labels."""


class HiddenStatesError(GeloraError, ValueError):
    """Hidden states from which no dimension can be estimated."""


class NonFiniteStatesError(HiddenStatesError):
    """Hidden states hold NaN or infinity."""


class TooFewSamplesError(HiddenStatesError):
    """Fewer usable samples than an estimate needs."""


class ArchitectureError(GeloraError, LookupError):
    """The blocks of a model, or the modules in them, were not found."""


class RankError(GeloraError, ValueError):
    """A rank or a budget that cannot be given, or an adapter that differs from its plan."""


class ArtifactError(GeloraError, ValueError):
    """A file of gelora's that cannot be read: truncated, of another kind, of a newer schema."""


class ModelMismatchError(ArtifactError):
    """A profile or plan is used with another model than the one it was made for."""


class OutputExistsError(ArtifactError, FileExistsError):
    """The output folder holds another run, which is never overwritten unasked."""


class ComparisonError(GeloraError, RuntimeError):
    """Some runs of a comparison failed; the results of the others are there."""


class MissingExtraError(GeloraError, ImportError):
    """An optional dependency is not installed."""


class GeloraWarning(UserWarning):
    """Base of all warnings that gelora gives."""


class ConstantStatesWarning(GeloraWarning):
    """A layer takes one or a few values over all texts, so its dimension is 0."""


class DuplicateSamplesWarning(GeloraWarning):
    """Repeated samples were set aside before the neighbours were searched."""


class UnstableDimensionWarning(GeloraWarning):
    """An estimate that another estimator, or another scale, does not confirm."""


class ProfileMismatchWarning(GeloraWarning):
    """Two profiles are compared that differ in more than the model."""


class SkippedRowsWarning(GeloraWarning):
    """Rows of the user's data were set aside or cut, and counted."""


class FrozenHeadWarning(GeloraWarning):
    """A head beside the backbone is not trained, though its values may be random."""


class ServingWarning(GeloraWarning):
    """An exported adapter has something that a server is known to refuse."""
