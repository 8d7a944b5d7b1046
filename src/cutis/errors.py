"""What goes wrong for a user, one class an exit code (docs/formats.md lists the codes)."""

FINDINGS = 8
"""Exit code of a command that did its work and found what must be looked at: serious in an audit, impossible in a claim."""


class CutisError(ValueError):
    """A mistake the user can mend; the message says what happened, to what, and what to do."""

    code = 2


class DataError(CutisError):
    """The data cannot be used as they are."""

    code = 3


class LeakError(CutisError):
    """The split lets test or validation images, or their twins, into training."""

    code = 4


class TrainingError(CutisError):
    """Training cannot go on."""

    code = 5


class ArtifactError(CutisError):
    """Weights, a run or a checkpoint is missing, damaged or does not fit."""

    code = 6


class LockedError(CutisError):
    """Another process works in the same folder."""

    code = 7
