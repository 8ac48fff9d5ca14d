"""Score functions: found by name or path, called in the parent, held to their contract.

`def score(case, prediction) -> Score`; as a coroutine where it waits for other processes; or, with a model to ask,
`async def score(case, prediction, judge) -> Score`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fapo.data import builtin_files, find_builtin
from fapo.errors import FapoError, PipelineError, ScorerError, UsageError, did_you_mean
from fapo.evaluation.judging import Judge
from fapo.records import Case, Prediction, Score

SCORE_TIMEOUT_S = 10.0
JUDGED = 3
"""Parameters of a score function that asks a judge."""


@dataclass(frozen=True, slots=True)
class ScoreFunction:
    """A score function and what identifies it."""

    name: str
    path: Path
    digest: str
    function: Callable[..., Any]

    @property
    def file_name(self) -> str:
        """What the file is called where it is shown by itself."""
        return f"{self.name}.py"

    @property
    def source(self) -> str:
        """The text of the file, and of a package's modules."""
        return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in _files(self.path))

    @property
    def waits(self) -> bool:
        """Whether it is a coroutine."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def asks_judge(self) -> bool:
        return self.waits and len(inspect.signature(self.function).parameters) == JUDGED

    async def waited(self, case: Case, prediction: Prediction, *judge: Judge) -> Score:
        """Score one prediction by a coroutine, with the judge's help if it asks one. It keeps time by itself.

        What it raises beside a FapoError is its own fault, ScorerError: it must cope with any output.
        """
        try:
            score = await self.function(case, prediction, *judge)
        except FapoError:
            raise
        except Exception as error:
            raise self._fault(case, error) from error
        return self._checked(case, score)

    def __call__(self, case: Case, prediction: Prediction) -> Score:
        """Score one prediction.

        Where the function raises, takes longer than SCORE_TIMEOUT_S or breaks its contract, and does so for an empty
        output too, that is its own fault: ScorerError. If it can score the case, and only this output makes it fail,
        the output is at fault: PipelineError of kind `unscorable`.
        """
        try:
            return self._ask(case, prediction)
        except ScorerError as error:
            if not any(self._can_score(case, Prediction(empty)) for empty in ("", None)):
                raise
            raise PipelineError(f"the score function cannot read its output: {error}", kind="unscorable") from error

    def _can_score(self, case: Case, prediction: Prediction) -> bool:
        try:
            self._ask(case, prediction)
        except ScorerError:
            return False
        return True

    def _ask(self, case: Case, prediction: Prediction) -> Score:
        try:
            with _time_limit():
                score = self.function(case, prediction)
        except Exception as error:
            raise self._fault(case, error) from error
        return self._checked(case, score)

    def _fault(self, case: Case, error: Exception) -> ScorerError:
        return ScorerError(f"{self.path}: raised on case {case.id}: {type(error).__name__}: {error}")

    def _checked(self, case: Case, score: Any) -> Score:
        if not isinstance(score, Score) or not math.isfinite(score.value) or not 0 <= score.value <= 1:
            raise ScorerError(
                f"{self.path}: case {case.id}: must return fapo.Score with a value in [0, 1], not {score!r}"
            )
        return score


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """Raise TimeoutError in code that takes longer than SCORE_TIMEOUT_S. Only the main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, SCORE_TIMEOUT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _interrupt(*_: object) -> None:
    raise TimeoutError(f"took longer than {SCORE_TIMEOUT_S:.0f} s")


def load_score(name: str, near: Path) -> ScoreFunction:
    """The score function `name`: a `.py` path relative to `near`, or the name of a file or package in `scores/`.

    A package is named by its `__init__.py`, and imports its modules relatively: `from .words import ...`.
    """
    if name.endswith(".py"):
        path: Path | None = near / name
    else:
        path = find_builtin("scores", f"{name}.py") or find_builtin("scores", f"{name}/__init__.py")
    if path is None or not path.is_file():
        known = builtin_files("scores")
        hint = did_you_mean(name, known) or f"; there are {', '.join(known)}"
        raise UsageError(f"unknown score `{name}`: neither a built-in score nor a Python file{hint}", path=near)
    is_package = path.name == "__init__.py"
    own_name = path.absolute().parent.name if is_package else path.stem
    module_name = f"fapo_score_{own_name}_{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:8]}"
    for loaded in [each for each in sys.modules if each.startswith(f"{module_name}.")]:
        del sys.modules[loaded]
    spec = importlib.util.spec_from_file_location(
        module_name, path, submodule_search_locations=[str(path.parent)] if is_package else None
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"raises on import: {type(error).__name__}: {error}", path=path) from error
    function = getattr(module, "score", None)
    wanted = (2, JUDGED) if inspect.iscoroutinefunction(function) else (2,)
    if not callable(function) or len(inspect.signature(function).parameters) not in wanted:
        raise UsageError(
            "must define `def score(case, prediction) -> Score` or `async def score(case, prediction, judge) -> Score`",
            path=path,
        )
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in _files(path))).hexdigest()
    return ScoreFunction(own_name, path, digest, function)


def _files(path: Path) -> list[Path]:
    return sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
