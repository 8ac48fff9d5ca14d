"""The pipelines that come with fapo, and the two controls, are what they claim to be."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from fapo.data import find_builtin, load_benchmark
from fapo.evaluation.project import load_project
from fapo.evaluation.scoring import load_score
from fapo.pipeline.prompts import load_prompts
from fapo.records import LEVELS, SPLITS, Case, Prediction

CONTROLS = Path(__file__).parent
WHOLE = (
    "cve_to_cwe", "quickstart", "aime_2025", "livebench_math", "ctibench_rcm", "prompt_suffices", "nothing_helps",
)  # fmt: skip


def directory_of(name: str) -> Path:
    path = find_builtin("pipelines", name) or CONTROLS / name
    assert path.is_dir()
    return path


def load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"shipped_{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cases_of(name: str) -> list[Case]:
    project = load_project(directory_of(name))
    return [case for split in SPLITS for case in project.cases(split)]


@pytest.mark.parametrize("name", WHOLE)
def test_each_is_a_whole_pipeline_with_all_levels_in_scope(name: str) -> None:
    project = load_project(directory_of(name))
    assert project.spec.name == name
    assert project.spec.scope == LEVELS
    assert {step.name for step in project.steps if step.kind == "llm"} == set(load_prompts(project.directory))


@pytest.mark.parametrize("name", WHOLE)
def test_each_prompt_shows_what_its_step_is_given(name: str) -> None:
    project = load_project(directory_of(name))
    for step in project.steps:
        if step.kind == "llm":
            text = (project.directory / "prompts" / f"{step.name}.md").read_text()
            assert frozenset(re.findall(r"{{ (\w+) }}", text)) == step.variables


def test_the_cve_pipeline_knows_some_weaknesses_and_never_reads_the_catalogue() -> None:
    directory = directory_of("cve_to_cwe")
    benchmark_directory = find_builtin("benchmarks", "cve_cwe")
    assert benchmark_directory is not None
    labels = [case.expected["cwe"] for split in SPLITS for case in load_benchmark(benchmark_directory).cases(split)]
    rows = (directory / "resources" / "cwe_names.tsv").read_text().splitlines()[1:]
    catalogue = {row.split("\t")[0] for row in rows}
    shown = set(re.findall(r"CWE-\d+", (directory / "prompts" / "classify.md").read_text()))
    assert len(catalogue) == 486
    assert set(labels) <= catalogue
    assert shown < set(labels)
    assert 0.2 < sum(label in shown for label in labels) / len(labels) < 0.4
    for path in [directory / "pipeline.py", *directory.glob("prompts/*.md")]:
        assert "cwe_names" not in path.read_text()


def test_no_reply_that_a_prompt_can_bring_about_gives_the_quickstart_more_than_three_fields_of_five() -> None:
    parse_reply = load_module(directory_of("quickstart") / "pipeline.py").parse_reply
    score = load_score("json_fields", Path())
    for case in cases_of("quickstart"):
        perfect = json.dumps(case.expected)
        assert score(case, Prediction(parse_reply(perfect))).value == 0.6
        assert score(case, Prediction(perfect)).value == 1.0


def test_every_value_that_the_quickstart_asks_for_stands_in_the_notice() -> None:
    for case in cases_of("quickstart"):
        assert all(str(value) in case.inputs["notice"] for value in case.expected.values())


@pytest.mark.parametrize(("name", "least", "most"), [("prompt_suffices", 1.0, 1.0), ("nothing_helps", 0.1, 0.3)])
def test_the_text_tells_the_team_in_one_control_and_nothing_in_the_other(name: str, least: float, most: float) -> None:
    words = load_module(CONTROLS / "make_data.py").TEAMS
    cases = cases_of(name)
    told = 0
    for case in cases:
        (team,) = [team for team, own in words.items() if any(word in case.inputs["message"] for word in own)]
        told += team == case.expected["team"]
    assert least <= told / len(cases) <= most


def test_one_control_says_how_to_answer_and_the_other_does_not() -> None:
    texts = {
        name: (CONTROLS / name / "prompts" / "route.md").read_text() for name in ("prompt_suffices", "nothing_helps")
    }
    told = texts["nothing_helps"].replace(" Answer with only the name of the team.", "")
    assert told != texts["nothing_helps"]
    assert told == texts["prompt_suffices"]
