"""Nights from end to end: real remotes, fresh shallow checkouts, a model that changes, and a GitHub on loopback."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fapo.store.testlock import LOCK_FILE, TestLock, parse_lock
from tests.support.command import Done, fapo
from tests.support.github_api import FakeGitHub, fake_github
from tests.support.paid_model import PaidModel, paid_model
from tests.support.repositories import bare_remote, checkout, git
from tests.support.scripted import PIPELINE

TEAMS = {"billing": "invoice refund payment charge receipt", "shipping": "parcel delivery courier tracking shipment",
         "accounts": "password login email profile username", "repairs": "broken warranty spare repair defect",
         "sales": "quote discount bulk catalogue price"}  # fmt: skip
ASKED = ("--model", "openai/gpt-4o-mini", "--optimizer-model", "standin/optimizer", "--budget-usd", "20")


@dataclass
class Router:
    """Finds the team. Once it has become talkative, it only answers with the name alone where it is told to."""

    talkative: bool = False

    def __call__(self, prompt: str) -> str:
        message = prompt.rsplit("Message: ", 1)[1].split("\\n")[0].lower()
        found = {team: sum(word in message for word in words.split()) for team, words in TEAMS.items()}
        team = max(found, key=lambda each: found[each])
        return team if not self.talkative or "nothing else" in prompt else f"I would say that {team} can help here."


@dataclass
class Schedule:
    """A remote with a pipeline, and what each night in a fresh checkout of it left."""

    folder: Path
    remote: Path
    model: PaidModel
    github: FakeGitHub
    router: Router
    nights: list[Done] = field(default_factory=list)

    def night(self, *options: str, fresh: bool = True, **extra: str) -> Done:
        if fresh:
            checkout(self.remote, self.folder / f"tree{len(self.nights)}")
        tree = sorted(self.folder.glob("tree*"))[-1]
        variables = self.model.variables | self.github.variables
        variables |= {"GITHUB_REF_TYPE": "branch", "GITHUB_REF_NAME": "main"}
        done = fapo(self.folder, "ci", tree / "pipe", *ASKED, "--pull-request", "--json", *options, **variables | extra)
        self.nights.append(done)
        return done

    @property
    def lock(self) -> TestLock:
        return parse_lock(git(self.remote, "show", f"fapo-lock:pipe/{LOCK_FILE}").encode(), "the ledger")


@pytest.fixture(scope="module")
def schedule(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Schedule]:
    folder = tmp_path_factory.mktemp("nights")
    with paid_model() as model, fake_github() as github:
        router = Router()
        model.reply = router
        yield Schedule(folder, bare_remote(folder, PIPELINE), model, github, router)


def test_the_first_night_records_a_baseline(schedule: Schedule) -> None:
    done = schedule.night(GITHUB_RUN_ID="7")
    assert done.code == 0, done.err
    assert (done.json["status"], done.json["id"]) == ("baseline", "github-7")
    assert schedule.lock.baseline is not None
    assert schedule.lock.baseline.models == {"task": "openai/gpt-4o-mini"}
    assert schedule.lock.baseline.mean == done.json["score"]["mean"] > 0.9
    assert schedule.github.pulls == []


def test_the_next_asks_the_model_again_and_finds_no_fall(schedule: Schedule) -> None:
    before = len(schedule.model.prompts)
    junit = schedule.folder / "junit.xml"
    done = schedule.night("--junit", str(junit))
    assert done.code == 0, done.err
    assert done.json["status"] == "steady"
    assert (done.json["difference"]["mean"], done.json["difference"]["night"]) == (0.0, 1)
    assert len(schedule.model.prompts) - before == 160
    suite = ElementTree.parse(junit).getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("2", "0", "1")


def test_a_fall_is_repaired_in_a_pull_request(schedule: Schedule) -> None:
    schedule.router.talkative = True
    output, page = schedule.folder / "output.txt", schedule.folder / "page.md"
    done = schedule.night("--max-variants", "1", GITHUB_OUTPUT=str(output), GITHUB_STEP_SUMMARY=str(page))
    assert done.code == 0, done.err
    found = done.json
    assert found["status"] == "improved"
    assert found["difference"]["mean"] < -0.9
    assert found["difference"]["p"] <= found["difference"]["level"] == 0.05 / 100
    (pull,) = schedule.github.pulls
    assert (pull["head"]["ref"], pull["base"]["ref"]) == ("fapo/prompt_suffices", "main")
    assert pull["html_url"] == found["pull_request"]
    assert "points on test" in pull["title"]
    for text in ("has fallen on validation", "Look 1 at these test cases", "`pipe/prompts/route.md`", "95 % interval"):
        assert text in pull["body"]
    changed = git(schedule.remote, "diff", "--name-only", f"main..{pull['head']['ref']}").split()
    assert changed == [f"pipe/{LOCK_FILE}", "pipe/prompts/route.md"]
    committed = parse_lock(git(schedule.remote, "show", f"{pull['head']['ref']}:pipe/{LOCK_FILE}").encode(), "there")
    (look,) = committed.entries
    assert (look.standin, look.confirmed) == (False, True)
    values = dict(line.split("=", 1) for line in output.read_text().splitlines())
    assert values["status"] == "improved"
    assert values["exit-code"] == "0"
    assert values["pull-request"] == pull["html_url"]
    assert values["commit"] == git(schedule.remote, "rev-parse", pull["head"]["ref"])
    assert page.read_text().startswith("## fapo: prompt_suffices: better variant found\n")
    assert "test-0" not in pull["body"] + page.read_text()


def test_while_nobody_merges_it_the_next_night_says_so_and_searches_no_more(schedule: Schedule) -> None:
    done = schedule.night()
    assert done.code == 1
    assert done.json["status"] == "fell"
    assert "searched for something better already" in done.json["message"]
    assert len(schedule.github.pulls) == 1
    assert len(schedule.lock.entries) == 1


def test_after_the_merge_a_new_baseline_is_recorded(schedule: Schedule) -> None:
    branch = schedule.github.pulls[0]["head"]["ref"]
    git(schedule.remote, "update-ref", "refs/heads/main", branch)
    done = schedule.night()
    assert done.code == 0, done.err
    assert done.json["status"] == "baseline"
    assert "the pipeline changed" in done.json["message"]
    assert done.json["score"]["mean"] > 0.9
    assert [check.fell for check in schedule.lock.checks] == [False, True, True]


def test_a_second_attempt_of_a_night_pays_for_nothing_and_uses_nothing_up(schedule: Schedule) -> None:
    first = schedule.night("--night", "twice")
    before = len(schedule.model.prompts)
    again = schedule.night("--night", "twice", fresh=False)
    assert (first.json["night"], again.json["night"]) == (4, 4)
    assert len(schedule.model.prompts) == before
    assert (again.code, again.json["status"]) == (0, "steady")


def test_a_night_that_the_provider_ends_is_an_error_to_machines_too(schedule: Schedule) -> None:
    schedule.model.refused = ("Message",)
    output, junit = schedule.folder / "failed.txt", schedule.folder / "failed.xml"
    done = schedule.night("--junit", str(junit), GITHUB_OUTPUT=str(output))
    schedule.model.refused = ()
    assert done.code == 3
    values = dict(line.split("=", 1) for line in output.read_text().splitlines())
    assert (values["status"], values["exit-code"]) == ("error", "3")
    assert ElementTree.parse(junit).getroot()[0].get("errors") == "1"
    assert schedule.lock.checks[-1].p is None


def test_validation_cases_that_show_no_more_are_said_to_be_used_up(schedule: Schedule, tmp_path: Path) -> None:
    tree = checkout(schedule.remote, tmp_path / "tree").top
    git(tree, "fetch", "--quiet", "origin", "fapo-lock")
    kept: dict[str, Any] = json.loads(git(tree, "show", f"FETCH_HEAD:pipe/{LOCK_FILE}"))
    (tree / "pipe" / LOCK_FILE).write_text(json.dumps(kept | {"nights": len(kept["checks"])}))
    before = len(schedule.model.prompts)
    done = fapo(tmp_path, "ci", tree / "pipe", *ASKED, **schedule.model.variables)
    assert done.code == 2
    assert "collect fresh validation cases" in " ".join(done.err.split())
    assert len(schedule.model.prompts) == before
