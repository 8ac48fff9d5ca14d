"""Each template of `fapo init` is a whole pipeline that is evaluated, tested and optimized at once, without a key."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fapo.evaluation.project import load_project
from fapo.records import LEVELS, SPLITS
from fapo.templates import make_pipeline, templates
from tests.support.command import environment, fapo

NAMES = [template.name for template in templates()]
QUICK = ("--max-variants", "1", "--no-noise-floor", "--no-review-agent", "--json")
ENDPOINT = ("dspy", "langgraph", "tool_agent")
"""Those that need a network of their own, and so level `full`."""


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.needs_level("full") if name in ENDPOINT else ())
                        for name in NAMES])  # fmt: skip
def template(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_there_are_six() -> None:
    assert NAMES == ["classify", "dspy", "extract_json", "langgraph", "retrieval_qa", "tool_agent"]


@pytest.mark.timeout(900)
def test_it_is_evaluated_by_its_own_test_and_optimized(template: str, tmp_path: Path) -> None:
    made = fapo(tmp_path, "init", "shop_bot", "--template", template, "--json")
    assert made.code == 0, made.err
    bot = tmp_path / "shop_bot"
    assert made.json["files"] == sorted(str(path.relative_to(bot)) for path in bot.rglob("*") if path.is_file())
    own = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(bot)]
    tested = subprocess.run(own, capture_output=True, text=True, env=environment(tmp_path), cwd=tmp_path, check=False)
    assert tested.returncode == 0, tested.stdout
    done = fapo(tmp_path, "optimize", "shop_bot", *QUICK)
    assert done.code == 0, done.err
    assert done.json["pipeline"] == "shop_bot"
    assert [row["level"] for row in done.json["variants"]] == ["prompt"]
    assert 0.2 < done.json["baseline"]["validation"] < 0.95
    assert "stand-in" in done.json["note"]


def test_each_has_what_a_beginner_looks_for(tmp_path: Path) -> None:
    for each in templates():
        target = tmp_path / each.name / "bot"
        make_pipeline(target, each)
        project = load_project(target)
        assert project.spec.name == "bot"
        assert project.spec.scope == LEVELS
        assert list(project.spec.models.values()) == ["standin/reader"]
        assert {step.name for step in project.steps} >= {path.stem for path in target.glob("prompts/*.md")}
        assert [len(project.cases(split)) for split in SPLITS] == [24, 40, 40]
        texts = "".join(path.read_text() for path in (target / "README.md", target / "pipeline.yaml"))
        assert "my_pipeline" not in texts
        assert not (target / "template.yaml").exists()


def test_the_data_is_what_its_maker_makes(tmp_path: Path) -> None:
    folder = next(templates()).directory.parent
    spec = importlib.util.spec_from_file_location("make_template_data", folder / "make_data.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    vars(maker)["HERE"] = tmp_path
    for name in NAMES:
        (tmp_path / name / "resources").mkdir(parents=True)
    maker.main()
    files = [path for path in tmp_path.rglob("*.json*") if path.is_file()]
    assert len(files) == 3 * len(NAMES) + 3
    for path in files:
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()


def test_the_list_is_for_people_and_machines(tmp_path: Path) -> None:
    shown = fapo(tmp_path, "init", "--list")
    assert all(name in shown.out for name in NAMES)
    assert max(map(len, shown.out.splitlines())) <= 80
    assert [row["name"] for row in json.loads(fapo(tmp_path, "init", "--list", "--json").out)["templates"]] == NAMES


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "fapo init my_pipeline"),
        (("2nd bot",), "such as `nd_bot`"),
        (("full",), "is there already"),
        (("bot", "-t", "clasify"), "did you mean `classify`?"),
        (("file/bot",), "cannot be written"),
    ],
)
def test_what_cannot_be_made_says_why_and_leaves_nothing(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("")
    done = fapo(tmp_path, "init", *arguments)
    assert done.code in (2, 3)
    assert words in done.err
    assert {path.name for path in tmp_path.iterdir()} == {"full", "file", "home"}
