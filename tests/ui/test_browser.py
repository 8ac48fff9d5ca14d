"""`fapo ui` in a real browser: an optimization watched as it goes, then looked into down to a trace."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import browser, browser_page
from tests.support.command import start
from tests.support.scripted import PIPELINE
from tests.support.traces import append, record, write_evaluation
from tests.support.ui_server import serving

__all__ = ["browser", "browser_page"]

LONG_MS = 180_000


@dataclass(frozen=True)
class Served:
    url: str
    folder: Path
    run: subprocess.Popen[bytes]

    @property
    def base(self) -> str:
        return self.url.split("/?")[0]

    @property
    def name(self) -> str:
        return next(path.name for path in (self.folder / "runs").iterdir() if (path / "run.json").exists())


@pytest.fixture(scope="module")
def served(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server, and an optimization that another process has just begun."""
    folder = tmp_path_factory.mktemp("watched")
    shutil.copytree(PIPELINE, folder / "pipeline", ignore=shutil.ignore_patterns("fapo.lock"))
    with serving(folder) as url:
        run = start(folder, "optimize", folder / "pipeline")
        try:
            yield Served(url, folder, run)
        finally:
            run.terminate()
            run.wait(30)


@pytest.fixture
def page(served: Served, browser_page: Page) -> Page:
    """A page that has been let in, once the optimization is over."""
    assert served.run.wait(LONG_MS / 1000) == 0
    browser_page.goto(served.url)
    return browser_page


def open_evaluation(page: Page, served: Served, name: str) -> None:
    page.goto(f"{served.base}/evaluation/{served.name}/evaluations/{name}")


def test_an_optimization_is_watched_from_its_beginning_to_its_verdict(served: Served, browser_page: Page) -> None:
    page = browser_page
    page.goto(served.url)
    assert "token" not in page.url
    page.locator("#runs .row a").click(timeout=LONG_MS)
    page.evaluate("window.loadedOnce = true")
    expect(page.locator("#log")).to_contain_text("submitted", timeout=LONG_MS)
    expect(page.locator("#log .line").first).to_contain_text("finished: improved", timeout=LONG_MS)
    expect(page.locator("#headline")).to_contain_text("is better than the baseline on test")
    expect(page.locator("#run .live")).to_have_count(0, timeout=LONG_MS)
    expect(page.locator("#chart canvas")).to_be_visible()
    assert page.evaluate("window.loadedOnce"), "the page was loaded again"
    ends = page.locator("#log .line").evaluate_all("lines => lines.map((line) => Number(line.id.slice(3)))")
    assert ends == sorted(set(ends), reverse=True)


def test_failing_cases_are_filtered_by_the_blamed_step_and_a_trace_is_opened(page: Page, served: Served) -> None:
    open_evaluation(page, served, "000-validation")
    facet = page.locator(".facet").first
    step, category = facet.get_attribute("data-step"), facet.get_attribute("data-category")
    assert step
    assert category
    facet.click()
    expect(page).to_have_url(re.compile(f"step={step}"))
    blames = page.locator(".case .blame").all_text_contents()
    assert blames
    assert set(blames) == {f"{step}: {category.replace('_', ' ')}"}
    page.locator("a.case").first.click()
    trace = page.locator("#pane .trace")
    expect(trace.locator(".step.guilty code").first).to_have_text(step)
    expect(trace.locator(".step.guilty .blamed").first).to_contain_text("blamed")
    expect(trace.locator(".step.llm .block h4", has_text="user").first).to_be_attached()
    page.reload()
    expect(page.locator("select[name=step]")).to_have_value(step)


def test_the_keys_lead_from_the_list_to_a_trace_and_back(page: Page, served: Served) -> None:
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/run/"))
    open_evaluation(page, served, "000-validation")
    page.keyboard.press("f")
    expect(page.locator("select[name=state]")).to_have_value("failing")
    expect(page).to_have_url(re.compile("state=failing"))
    expect(page.locator(".htmx-request, .htmx-settling, .htmx-swapping")).to_have_count(0)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    first = page.locator("a.case .id").first.inner_text().split()[0]
    expect(page.locator("#pane .trace")).to_have_attribute("data-case", first)
    page.keyboard.press("j")
    expect(page.locator("#pane .trace")).not_to_have_attribute("data-case", first)
    page.keyboard.press("Escape")
    expect(page.locator("#pane .trace")).to_have_count(0)
    page.keyboard.press("/")
    page.keyboard.type(first)
    expect(page.locator("#found")).to_have_text("1 case")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    page.wait_for_url(re.compile(f"/run/{served.name}$"))


def test_two_variants_are_compared_and_a_case_is_seen_on_both_sides(page: Page, served: Served) -> None:
    page.goto(f"{served.base}/run/{served.name}")
    page.locator("tr.kept a").last.click()
    expect(page.locator(".diff ins, .diff .added").first).to_be_visible()
    page.get_by_text("compare with the baseline").click()
    expect(page.locator(".verdict")).to_contain_text("B is better than A")
    page.locator(".tabs label", has_text="won").click()
    won = page.locator(".tabs label", has_text="won").locator("b").inner_text()
    expect(page.locator("#found")).to_have_text(f"{won} cases")
    expect(page.locator(".change .outcome").first).to_have_text("▲ won")
    expect(page.locator(".htmx-request, .htmx-settling, .htmx-swapping")).to_have_count(0)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#pane .pair .chip", has_text="first difference")).to_be_visible()
    expect(page.locator("#pane .two-sides .score")).to_have_text([re.compile("0|failed"), "1"])


def test_new_cases_of_an_evaluation_appear_by_themselves(page: Page, served: Served) -> None:
    directory = write_evaluation(served.folder / "runs" / "grows", [record("first-case")])
    page.goto(f"{served.base}/evaluation/grows")
    expect(page.locator("#found")).to_have_text("1 case")
    append(directory, [record("second-case", 0.0)])
    expect(page.locator("#found")).to_have_text("2 cases")
    expect(page.locator("#figures")).to_contain_text("1 failing")


def test_rows_are_loaded_as_one_scrolls(page: Page, served: Served) -> None:
    write_evaluation(served.folder / "runs" / "many", [record(f"case-{number:04d}") for number in range(450)])
    page.goto(f"{served.base}/evaluation/many")
    expect(page.locator("a.case")).to_have_count(100)
    page.keyboard.press("G")
    expect(page.locator("a.case")).to_have_count(200)
    page.locator("select[name=sort]").select_option("case id")
    expect(page.locator("a.case")).to_have_count(100)


def test_hostile_output_runs_nothing_in_the_browser(page: Page, served: Served) -> None:
    attacks = [
        "<script>window.pwned=1</script>",
        "<img src=x onerror='window.pwned=1'>",
        '"><svg onload="window.pwned=1">',
        '<div hx-get="/" hx-trigger="load" hx-on:click="window.pwned=1"></div>',
        "</pre></script><script>pwned=1</script>",
    ]
    runs = served.folder / "runs"
    write_evaluation(runs / "hostile", [record(attack, 0.5, output=attack) for attack in attacks])
    write_evaluation(runs / "hostile-2", [record(attack, 1.0, output=[attack]) for attack in attacks])
    for path in ("/", "/evaluation/hostile", "/compare?a=hostile&b=hostile-2"):
        page.goto(served.base + path)
        for number, row in enumerate(page.locator("a.case").all()):
            row.click()
            expect(page.locator("#pane .trace")).to_have_attribute("data-case", attacks[number])
        assert page.evaluate("window.pwned") is None
        assert page.locator("main [hx-on\\:click], main script, main img").count() == 0


def test_on_a_phone_nothing_is_wider_than_the_screen_and_a_case_opens_as_a_page(page: Page, served: Served) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    at = f"{served.name}/evaluations/000-validation"
    for path in ("/", f"/run/{served.name}", f"/run/{served.name}/variant/001", f"/evaluation/{at}"):
        page.goto(served.base + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    page.locator("a.case").first.click()
    page.wait_for_url(re.compile("/trace/"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("a[rel=next]").click()
    expect(page.locator(".alone .trace")).to_be_visible()


def test_dark_is_a_choice_that_stays(page: Page, served: Served) -> None:
    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = ground()
    page.keyboard.press("t")
    dark = ground()
    assert dark != light
    page.goto(f"{served.base}/run/{served.name}")
    assert ground() == dark


def test_a_page_of_another_origin_learns_nothing(page: Page, served: Served) -> None:
    other = page.context.new_page()
    other.goto("about:blank")
    ask = """async (base) => {
        try { return (await fetch(base, { credentials: "include" })).status } catch { return "refused" }
    }"""
    assert other.evaluate(ask, served.base) == "refused"
