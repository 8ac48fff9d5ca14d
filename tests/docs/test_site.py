"""The site is built strictly, with a reference of every command and key."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fapo.pipeline.spec import PipelineSpec

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(target)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=quiet, check=False)
    assert done.returncode == 0, done.stderr
    return target


def text_of(page: Path) -> str:
    return re.sub(r"<[^>]+>", "", page.read_text())


def test_the_reference_has_every_command_and_key(site: Path) -> None:
    commands = text_of(site / "reference" / "cli" / "index.html")
    for name in (*(path.stem for path in (ROOT / "tests" / "cli" / "help").glob("*.txt")), "benchmark prepare"):
        assert f"fapo {name}".removesuffix(" fapo") in commands
    keys = text_of(site / "reference" / "configuration" / "index.html")
    assert all(name in keys for name in (*PipelineSpec.model_fields, "timeout_s", "splits", "FAPO_RUNS_DIR"))
    assert "corpus_dir" in text_of(site / "reference" / "python" / "index.html")


def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r"""<(?:script|img|link)[^>]+(?:src|href)="(https?://[^"]+)""", page.read_text())
        assert loaded == []
