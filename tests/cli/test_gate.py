"""`fapo eval` as the gate of a pull request: a least score, and not worse than a commit or an evaluation."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from fapo.cli.gate import Base, Gates, NotWorse, gate_checks
from fapo.stats import PairedComparison
from tests.support.command import fapo
from tests.support.repositories import bare_remote, checkout, commit_all
from tests.support.scripted import CONTRACT, PIPELINE


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`main` has a pipeline that scores 1, the work tree one that scores 0."""
    folder = tmp_path_factory.mktemp("gate")
    shutil.copytree(PIPELINE, folder / "good", ignore=shutil.ignore_patterns("fapo.lock"))
    route = folder / "good" / "prompts" / "route.md"
    good = route.read_text().replace("Choose the team", f"{CONTRACT} Choose the team")
    bad = route.read_text()
    route.write_text(good)
    top = checkout(bare_remote(folder, folder / "good"), folder / "tree").top
    (top / "pipe" / "prompts" / "route.md").write_text(bad)
    commit_all(top, "worse")
    return top


def test_a_change_that_makes_it_worse_fails_and_one_that_does_not_passes(tree: Path, tmp_path: Path) -> None:
    junit, page, output = tree.parent / "junit.xml", tmp_path / "page.md", tmp_path / "output.txt"
    options = ("--limit", "40", "--fail-under", "0.5", "--not-worse-than", "origin/main", "--junit", junit, "--json")
    variables = {"GITHUB_STEP_SUMMARY": str(page), "GITHUB_OUTPUT": str(output)}
    worse = fapo(tree.parent, "eval", tree / "pipe", *options, **variables)
    assert worse.code == 1, worse.err
    assert [gate["passed"] for gate in worse.json["gates"]] == [False, False]
    assert "-100.0 points against origin/main" in worse.json["gates"][1]["message"]
    suite = ElementTree.parse(junit).getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")
    assert page.read_text().startswith("## fapo: prompt_suffices: gate failed\n")
    assert output.read_text().startswith("status=failed\nexit-code=1\n")
    base, changed = sorted(tree.parent.joinpath("runs").glob("*-eval-*"))[::-1]
    back = fapo(tree.parent, "eval", "--resume", base, "--not-worse-than", changed, "--margin", "1")
    assert back.code == 0, back.err
    assert "passed  not worse than the base: +100.0 points" in back.out
    same = fapo(tree.parent, "eval", tree / "pipe", "--limit", "5", "--not-worse-than", "HEAD")
    assert same.code == 0, same.err
    assert "the pipeline is the same as in HEAD" in same.out


def test_what_cannot_be_a_gate_is_refused(tree: Path) -> None:
    output = tree.parent / "refused.txt"
    done = fapo(tree.parent, "eval", tree / "pipe", "--not-worse-than", "nowhere", GITHUB_OUTPUT=str(output))
    assert done.code == 2
    assert "no commit `nowhere`" in " ".join(done.err.split())
    assert output.read_text().startswith("status=error\nexit-code=2\nmessage=no commit `nowhere`")
    alone = fapo(tree.parent, "eval", tree / "pipe", "--margin", "1")
    assert alone.code == 2
    assert "belong to --fail-under or --not-worse-than" in " ".join(alone.err.split())


def judged(difference: float, lower: float, margin: float) -> tuple[bool | None, str]:
    paired = PairedComparison(difference, lower, 1.0, 0.5, 0.5, 50, 0, 0, 50)
    gates = Gates(None, "main", margin, None)
    (check,) = gate_checks(gates, 0.5, Base("main"), NotWorse("main", paired, lower, margin))
    return check.passed, check.message


def test_the_bound_decides_and_not_the_mean() -> None:
    assert judged(-0.01, -0.015, 2)[0]
    assert judged(0.0, -0.02, 2)[0] is False
    passed, message = judged(0.0, -0.06, 2)
    assert passed is False
    assert "50 cases show no smaller margin" in message
    assert "take more cases" not in judged(-0.05, -0.08, 2)[1]


def test_the_least_score_is_enough() -> None:
    gates = Gates(0.5, None, 2, None)
    assert [gate_checks(gates, mean, None, None)[0].passed for mean in (0.499, 0.5)] == [False, True]
