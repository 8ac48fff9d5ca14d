"""The report of a run: the facts are the run's, the page is whole, and what comes from outside stays text."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from fapo.errors import UsageError
from fapo.optimize.gather import gather
from fapo.optimize.outcome import write_evaluation_reports, write_reports
from fapo.optimize.run_files import RunFiles
from fapo.records import CaseRecord, Prediction, Score, Step, Usage
from fapo.report.facts import RunReport, variant_tree
from fapo.report.html import asset, run_html
from fapo.report.markdown import run_markdown
from fapo.report.traces_shown import MOST_CHARACTERS
from fapo.store.files import lock_directory, to_json
from tests.support.command import builtin, fapo
from tests.support.scripted import CONTRACT, Hands, search, unsolvable

HOSTILE = (
    "</script><script>document.title='owned'</script>"
    "<img src='http://evil.invalid/x.png' onerror=\"document.title='owned'\">{{ 7*7 }}"
)

HOSTILE_PROMPT = "<svg onload=\"document.title='owned'\"></svg><script>document.title='owned'</script>"


def hostile_pipeline(folder: Path) -> Path:
    """The control pipeline, with messages that attack whoever shows them."""
    pipeline = unsolvable(folder)
    for path in (pipeline / "data").glob("*.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            row["inputs"]["message"] += f" {HOSTILE}"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return pipeline


async def hostile_agent(hands: Hands) -> None:
    await hands.submit(f"nothing {HOSTILE}", HOSTILE)
    hands.replace("prompts/route.md", "Choose the team that should answer.",
                  f"Choose the team that should answer. {CONTRACT}")  # fmt: skip
    hands.replace("prompts/gist.md", "in one sentence.", f"in one sentence. {HOSTILE_PROMPT}")
    assert (await hands.submit(f"contract {HOSTILE}"))["verdict"] == "accepted"
    hands.replace("prompts/route.md", "Choose the team", "Choose one team")
    await hands.submit(f"longer {HOSTILE}")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a refused, an accepted and a rejected variant."""
    folder = tmp_path_factory.mktemp("ran")
    search(folder, [hostile_agent], pipeline=hostile_pipeline(folder), accept="mean", max_variants=2)
    run = next((folder / "runs").iterdir())
    write_reports(RunFiles(run))
    return run


@pytest.fixture(scope="module")
def report(ran: Path) -> RunReport:
    return gather(RunFiles(ran))


class TestFacts:
    def test_the_summary_is_that_of_the_run(self, report: RunReport) -> None:
        summary = report.summary
        assert summary.status == "improved"
        assert [(row.id, row.parent, row.verdict) for row in summary.variants] == [
            ("001", "000", "rejected"), ("002", "000", "accepted"), ("003", "002", "rejected"),
        ]  # fmt: skip
        assert summary.test_gain is not None
        assert summary.best.test is not None
        assert summary.baseline.test is not None
        assert summary.test_gain.mean == pytest.approx(summary.best.test - summary.baseline.test)
        assert summary.note is not None
        assert "not a language model" in summary.note

    def test_a_refused_variant_has_no_figures_and_a_judged_one_has(self, report: RunReport) -> None:
        refused, accepted, _ = report.summary.variants
        assert (refused.difference, refused.estimate, refused.demand) == (None, None, None)
        assert accepted.estimate == report.summary.best.validation
        assert accepted.demand is not None
        assert accepted.demand.calls == 2.0
        assert 0 < accepted.at_s <= report.summary.wall_s

    def test_the_tree_has_each_variant_under_its_parent(self, report: RunReport) -> None:
        tree = variant_tree(report.summary.variants)
        assert [node.id for node in tree.children] == ["001", "002"]
        assert [node.id for node in tree.children[1].children] == ["003"]

    def test_the_diff_is_that_of_the_best_variant(self, report: RunReport) -> None:
        assert [(each.path, each.added, each.removed) for each in report.diff] == [
            ("prompts/gist.md", 1, 1), ("prompts/route.md", 1, 1),
        ]  # fmt: skip

    def test_all_of_the_lost_score_is_divided_among_steps(self, report: RunReport) -> None:
        losses, summary = report.losses, report.summary
        assert losses.cases == 80
        assert losses.baseline == pytest.approx(1 - (summary.baseline.validation or 0))
        assert losses.best == pytest.approx(1 - (summary.best.validation or 0))
        assert sum(row.baseline for row in losses.steps) == pytest.approx(losses.baseline)
        assert sum(row.best or 0 for row in losses.steps) == pytest.approx(losses.best)

    def test_the_cases_won_and_lost_are_those_of_the_comparison(self, report: RunReport) -> None:
        gain = report.summary.validation_gain
        assert gain is not None
        assert {each.kind: each.total for each in report.cases} == {"won": gain.won, "lost": gain.lost}
        assert {each.split for each in report.cases} == {"validation"}

    def test_what_was_asked_and_what_it_ran_with_is_kept(self, report: RunReport) -> None:
        assert report.asked.counts == {"train": 80, "validation": 80, "test": 80}
        assert report.asked.models == {"task": "standin/reader"}
        assert {"fapo", "Python", "LiteLLM"} <= report.asked.versions.keys()
        assert "--accept mean" in report.ran.command
        assert "--max-variants 2" in report.ran.command

    def test_markdown_says_the_same(self, ran: Path, report: RunReport) -> None:
        text = (ran / "report.md").read_text()
        assert text == run_markdown(report)
        assert text.startswith("# fapo: prompt_suffices\n\n> **Note:** standin/reader is an offline stand-in")
        assert "Variant 002 (prompt) is better than the baseline on test: +" in text
        assert "- Minimum detectable effect: one look finds a true gain of" in text
        assert "Validation-to-test gap of the gain:" in text
        assert re.search(r"^  - 002 contract .*\(prompt\): accepted\n    - 003 longer", text, re.MULTILINE)
        assert "<script" not in text


class TestHeldOut:
    def numbers(self, ran: Path, split: str) -> set[str]:
        source = Path(json.loads((ran / "run.json").read_text())["source"])
        return set(re.findall(r"My number is (\d+)", (source / "data" / f"{split}.jsonl").read_text()))

    def test_text_of_test_cases_stays_out(self, ran: Path, report: RunReport) -> None:
        secret = self.numbers(ran, "test") - self.numbers(ran, "validation") - self.numbers(ran, "train")
        assert len(secret) > 30
        found = set(re.findall(r"\d+", run_html(report).replace(asset("echarts.min.js"), "")))
        assert self.numbers(ran, "validation") & found, "the search itself must find what is there"
        assert not secret & found
        assert not secret & set(re.findall(r"\d+", run_markdown(report)))
        assert "test-0" not in run_html(report)

    def test_it_is_there_where_it_is_asked_for_and_the_page_says_so(self, ran: Path) -> None:
        page = run_html(gather(RunFiles(ran), include_test=True))
        assert self.numbers(ran, "test") & set(re.findall(r"My number is (\d+)", page))
        assert "This report holds text of test cases" in page


class TestTruth:
    def test_a_run_that_was_killed_at_any_event_has_a_report_that_says_so(self, ran: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        shutil.copytree(ran, run)
        lines = (ran / "journal.jsonl").read_bytes().splitlines(keepends=True)
        for cut in range(len(lines)):
            (run / "journal.jsonl").write_bytes(b"".join(lines[:cut]))
            page, text = write_reports(RunFiles(run))[1:]
            for shown in (page.read_text(), text.read_text()):
                assert "This run did not end" in shown, lines[cut]
                assert "on test:" not in shown
            assert "fapo optimize --resume" in page.read_text()

    def test_a_run_that_goes_on_is_said_to(self, ran: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        shutil.copytree(ran, run)
        lines = (ran / "journal.jsonl").read_bytes().splitlines(keepends=True)
        (run / "journal.jsonl").write_bytes(b"".join(lines[:-3]))
        with lock_directory(run):
            assert gather(RunFiles(run)).summary.status == "running"
        assert gather(RunFiles(run)).summary.status == "unfinished"

    def test_without_a_gain_nothing_is_claimed(self, ran: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        shutil.copytree(ran, run)
        entries = [json.loads(line) for line in (ran / "journal.jsonl").read_text().splitlines()]
        kept = []
        for entry in entries:
            event = entry["event"]
            if event["event"] == "decided":
                event |= {"verdict": "rejected", "by": None}
            if event["event"] == "finished":
                event["status"] = "no_gain"
            if event["event"] != "opened_test" and event.get("split") != "test":
                kept.append(json.dumps(entry) + "\n")
        (run / "journal.jsonl").write_text("".join(kept))
        found = gather(RunFiles(run))
        page = run_html(found)
        assert [each.kind for each in found.cases] == ["failing"]
        assert found.diff == ()
        assert "Test stays sealed" in page
        assert "No gain found" in page
        assert "better than the baseline" not in page

    def test_labels_that_cannot_be_read_again_are_left_out_and_said_to_be(self, ran: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        shutil.copytree(ran, run)
        frozen = json.loads((run / "run.json").read_text())
        frozen["source"] = str(tmp_path / "gone")
        (run / "run.json").write_text(json.dumps(frozen))
        found = gather(RunFiles(run))
        assert found.losses.missing == "the labels cannot be read any more"
        assert all(case.case is None for each in found.cases for case in each.cases)
        assert "cannot be opened any more" in run_html(found)

    def test_unknown_cost_is_unknown(self, report: RunReport) -> None:
        usage = replace(report.summary.usage, task=Usage(10, 0, None, None, None))
        summary = replace(report.summary, usage=usage)
        assert report.steps.baseline is not None
        steps = replace(report.steps, baseline=replace(report.steps.baseline, tokens=None, cost_usd=None))
        changed = replace(report, summary=summary, steps=steps)
        page = run_html(changed)
        assert "What was paid is unknown for: task." in page
        assert re.search(r'Paid</div>\s*<div class="value">unknown<', page)
        assert re.search(r'Cost of a case</div>\s*<div class="value">unknown', page)
        assert "task unknown cost" in run_markdown(changed)

    def test_a_huge_run_makes_a_page_that_opens(self, ran: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        shutil.copytree(ran, run)
        huge(run, "000", 0.0)
        huge(run, "002", 1.0)
        found = gather(RunFiles(run))
        rows = [replace(found.summary.variants[1], id=f"{number:03d}", parent=f"{number - 1:03d}")
                for number in range(1, 51)]  # fmt: skip
        page = run_html(replace(found, summary=replace(found.summary, variants=tuple(rows))))
        assert len(page) < 4_000_000
        assert "990 more are left out" in page
        assert "characters left out" in page
        assert "18 more steps are left out" in page


def huge(run: Path, variant: str, value: float) -> None:
    """1,000 cases with long texts, some of 30 steps, in place of a variant's evaluation on validation."""
    directory = run / "evaluations" / f"{variant}-validation"
    inputs = {"variables": {}, "messages": [{"role": "user", "content": "long" * MOST_CHARACTERS}]}
    step = Step("answer", "llm", inputs, "y" * 500, 0.0, 1.0, model="m", usage=Usage(1, 0, 10, 10, 0.1))
    lines = [
        to_json(CaseRecord(f"c{n}", 0, (step,) * (30 if n < 20 else 1), Prediction("x"), Score(value), None, 1.0))
        for n in range(1000)
    ]
    (directory / "traces.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (directory / "cases.json").write_text(json.dumps({f"c{number}": None for number in range(1000)}))


def opened(page: Page, run: Path) -> list[str]:
    """Open the page of a run; what it asked for."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((run / "report.html").as_uri())
    return asked


def drawn(page: Page) -> dict[str, int]:
    """How many shapes each chart has."""
    found: dict[str, int] = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.chart')]"
        ".map(place => [place.id, place.querySelectorAll('svg path, svg text').length]))"
    )
    return found


class TestInABrowser:
    def test_it_opens_without_network_and_draws_its_charts(self, browser_page: Page, ran: Path) -> None:
        asked = opened(browser_page, ran)
        assert asked == [(ran / "report.html").as_uri()]
        charts = drawn(browser_page)
        assert charts.keys() == {"chart-gain", "chart-search", "chart-losses"}
        assert all(shapes > 10 for shapes in charts.values())
        assert "better than the baseline on test" in browser_page.inner_text("#verdict h1")
        assert "stand-in" in browser_page.inner_text(".notice")

    def test_hostile_text_stays_text(self, browser_page: Page, ran: Path) -> None:
        asked = opened(browser_page, ran)
        browser_page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        assert browser_page.title().startswith("prompt_suffices:")
        assert browser_page.locator("img, #diff svg, [onload], [onerror]").count() == 0
        assert browser_page.locator("script").count() == 3
        for place in ("#search", "#diff", "#cases"):
            assert "<script>document.title='owned'</script>" in browser_page.inner_text(place)
        assert "{{ 7*7 }}" in browser_page.inner_text("#cases")
        for chart in browser_page.locator(".chart svg").all():
            chart.hover()
        assert browser_page.title().startswith("prompt_suffices:")
        assert len(asked) == 1

    def test_even_a_script_that_gets_in_does_not_run_and_nothing_gets_out(self, browser: Browser, ran: Path) -> None:
        page = browser.new_page()
        opened(page, ran)
        page.evaluate(
            """() => { const script = document.createElement('script');
            script.textContent = "document.title = 'owned'"; document.body.append(script); }"""
        )
        assert page.title().startswith("prompt_suffices:")
        sent = page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', error => String(error))")
        assert "TypeError" in sent
        page.close()

    def test_the_diff_is_side_by_side(self, browser_page: Page, ran: Path) -> None:
        opened(browser_page, ran)
        row = browser_page.locator("#diff .row.changed").first
        old, new = row.locator(".side").nth(0).bounding_box(), row.locator(".side").nth(1).bounding_box()
        assert old is not None
        assert new is not None
        assert (old["y"], old["x"] < new["x"]) == (new["y"], True)
        assert CONTRACT in row.inner_text()
        assert row.locator("mark").count() > 0

    def test_a_trace_can_be_opened(self, browser_page: Page, ran: Path) -> None:
        opened(browser_page, ran)
        case = browser_page.locator("#cases details.case").first
        case.locator("summary").first.click()
        assert case.get_by_text("expected", exact=True).is_visible()
        step = case.locator("details.step").first
        step.locator("summary").click()
        assert step.get_by_text("Summarize what the customer wants").is_visible()

    def test_a_phone_needs_no_scrolling_sideways(self, browser_page: Page, ran: Path) -> None:
        browser_page.set_viewport_size({"width": 390, "height": 844})
        opened(browser_page, ran)
        browser_page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        assert browser_page.evaluate("document.documentElement.scrollWidth") == 390
        row = browser_page.locator("#diff .row.changed").first
        old, new = row.locator(".side").nth(0).bounding_box(), row.locator(".side").nth(1).bounding_box()
        assert old is not None
        assert new is not None
        assert old["y"] < new["y"], "one above the other"

    def test_dark_and_light_follow_the_reader_and_the_button(self, browser_page: Page, ran: Path) -> None:
        ink = "getComputedStyle(document.body).color"
        label = "document.querySelector('#chart-gain svg text').getAttribute('fill')"
        opened(browser_page, ran)
        light = browser_page.evaluate(ink), browser_page.evaluate(label)
        browser_page.emulate_media(color_scheme="dark")
        browser_page.reload()
        dark = browser_page.evaluate(ink), browser_page.evaluate(label)
        assert dark[0] != light[0]
        assert dark[1] != light[1]
        browser_page.click("#theme")
        assert (browser_page.evaluate(ink), browser_page.evaluate(label)) == light

    def test_it_prints_light_and_whole(self, browser_page: Page, ran: Path) -> None:
        browser_page.emulate_media(color_scheme="dark")
        opened(browser_page, ran)
        browser_page.evaluate(
            """() => addEventListener("beforeprint", () => {
            window.seen = [getComputedStyle(document.body).color, document.querySelector('svg').clientWidth]; })"""
        )
        assert browser_page.pdf(format="A4").startswith(b"%PDF")
        colour, width = browser_page.evaluate("window.seen")
        assert colour == "rgb(21, 25, 31)"
        assert width <= 680
        assert browser_page.evaluate("getComputedStyle(document.body).color") != colour, "the screen is as it was"


class TestCommand:
    def test_it_writes_both_and_says_where(self, ran: Path, tmp_path: Path) -> None:
        (ran / "report.html").unlink()
        done = fapo(tmp_path, "report", ran, "--open", BROWSER="echo opened %s")
        assert done.code == 0, done.err
        assert f"page:     {ran / 'report.html'}" in done.out
        assert f"opened {(ran / 'report.html').as_uri()}" in done.out
        assert (ran / "report.html").is_file()

    def test_what_is_damaged_is_said_with_file_and_line(self, ran: Path, tmp_path: Path) -> None:
        for name in ("journal.jsonl", "evaluations/000-validation/traces.jsonl"):
            run = tmp_path / name.replace("/", "-")
            shutil.copytree(ran, run)
            with (run / name).open("ab") as file:
                file.write(b"{}\n")
            with pytest.raises(UsageError, match=re.escape(f"{run / name}")):
                write_reports(RunFiles(run))

    def test_json_is_the_summary(self, ran: Path, tmp_path: Path, report: RunReport) -> None:
        found: dict[str, Any] = fapo(tmp_path, "report", ran, "--json").json
        assert found["status"] == "improved"
        assert found["best"]["variant"] == report.summary.best.variant

    def test_what_is_no_run_is_said_in_one_line(self, ran: Path, tmp_path: Path) -> None:
        for place, words in ((tmp_path / "nothing", "no such directory"), (tmp_path, "not a run of fapo optimize")):
            done = fapo(tmp_path, "report", place)
            assert (done.code, done.out) == (2, "")
            assert done.err.count("\n") == 1
            assert words in done.err


class TestEvaluations:
    def test_an_evaluation_has_a_page_of_its_own(self, browser_page: Page, ran: Path) -> None:
        place = ran / "evaluations" / "000-validation"
        report, page, text = write_evaluation_reports(place)
        assert report.score is not None
        assert (report.n, report.undecided) == (80, 0)
        assert report.losses.baseline == pytest.approx(1 - report.score[0])
        opened(browser_page, place)
        assert "000 of prompt_suffices scores" in browser_page.inner_text("h1")
        assert drawn(browser_page)["chart-losses"] > 5
        assert "baseline" not in browser_page.inner_text("main")
        browser_page.locator("#cases details.case summary").first.click()
        assert browser_page.get_by_text("expected", exact=True).first.is_visible()
        assert "000 of prompt_suffices scores" in text.read_text()
        assert page.read_text().count("<script") == 3 + asset("echarts.min.js").count("<script")

    def test_text_of_test_cases_stays_out_of_it_too(self, ran: Path) -> None:
        place = ran / "evaluations" / "000-test"
        page = write_evaluation_reports(place)[1].read_text()
        assert "My number is" not in page
        assert "These are test cases." in page
        assert "My number is" in write_evaluation_reports(place, include_test=True)[1].read_text()

    def test_the_command_takes_what_fapo_eval_left(self, tmp_path: Path) -> None:
        done = fapo(tmp_path, "eval", builtin("pipelines", "quickstart"), "--limit", "4", "--json")
        place = Path(done.json["evaluation_dir"])
        found = fapo(tmp_path, "report", place, "--json").json
        assert found["n"] == 4
        score = done.json["score"]
        assert found["score"] == pytest.approx([score["mean"], *score["ci95"]])
        assert "Inputs and labels of the cases are left out" not in Path(found["page"]).read_text()
