"""One finished optimization on the stand-ins, for all exporters."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import optimize

PROMPT_SUFFICES = Path(__file__).parent.parent / "pipelines" / "prompt_suffices"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run in which variant 001 was accepted."""
    result = optimize(tmp_path_factory.mktemp("finished"), PROMPT_SUFFICES)
    assert result["best"]["variant"] == "001"
    return Path(result["run_dir"])
