"""The error tree. A fault is attributed once, at the boundary where it arises.

FapoError                      anything fapo expects; printed as one line
├── UsageError                 wrong use or bad input, found before money is spent          exit 2
├── ProviderError              a model endpoint failed; the case stays undecided            exit 3
│   └── CredentialsError       the endpoint refuses the key, or none was found              exit 2
├── PipelineError              the variant's own fault; the case counts as a failure
├── ScorerError                a score function broke its contract; the evaluation stops    exit 1
├── BudgetExceeded             a limit on money, calls, variants or time was reached        exit 3
├── StorageError               a file cannot be written; what was written before stays      exit 3
├── AgentError                 the coding agent's session ended without a usable result     exit 3
├── GitError                   git, or the API of its host, refused what was asked of it    exit 1
└── IsolationError             no way to confine code on this machine; nothing is run       exit 1
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class FapoError(Exception):
    """Anything fapo expects to go wrong. The message is one line that says what to do next."""

    exit_code = 1


class UsageError(FapoError):
    """Wrong use or bad input. Names the file and line where there is one."""

    exit_code = 2

    def __init__(self, message: str, *, path: Path | str | None = None, line: int | None = None) -> None:
        where = "" if path is None else f"{path}:{line}: " if line is not None else f"{path}: "
        super().__init__(f"{where}{message}")
        self.path = path
        self.line = line


class ProviderError(FapoError):
    """A model endpoint failed for good: after retries, or in a way that a retry cannot mend."""

    exit_code = 3


class CredentialsError(ProviderError):
    """The endpoint refuses the key, or no key was found."""

    exit_code = 2


class PipelineError(FapoError):
    """The variant's own fault. `kind` is the word that its Failure record carries."""

    def __init__(self, message: str, *, kind: str = "raised", step: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.step = step


class ScorerError(FapoError):
    """A score function raised or broke its contract."""


class BudgetExceeded(FapoError):
    """A limit that the user set was reached."""

    exit_code = 3


class StorageError(FapoError):
    """The disk is full, or a folder cannot be written. Once it can be, the work goes on from what was written."""

    exit_code = 3

    @classmethod
    def of(cls, path: Path | str, error: OSError) -> StorageError:
        return cls(f"{path}: cannot be written ({error.strerror}): free space, or make it writable")


class AgentError(FapoError):
    """The coding agent's session failed, stalled, or ended without a result."""

    exit_code = 3


class GitError(FapoError):
    """A git command failed, or GitHub refused a request."""


class IsolationError(FapoError):
    """Code cannot be confined here as asked."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be; None where none is like it."""
    by_lower = {each.lower(): each for each in known}
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the end of a message, or nothing."""
    near = closest(word, known)
    return f"; did you mean `{near}`?" if near else ""
