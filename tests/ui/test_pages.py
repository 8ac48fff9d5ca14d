"""The pages over HTTP: what a real run holds is shown, test stays sealed, and hostile text stays text."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fapo.records import Failure
from fapo.ui.access import Access
from fapo.ui.app import create_app
from fapo.ui.library import Library
from fapo.ui.trace_index import TraceIndex
from tests.support.command import optimize
from tests.support.scripted import PIPELINE
from tests.support.traces import append, record, write_evaluation

PORT = 8124
HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)> {{ 7 * 7 }} [[hx-get="/"]] javascript:alert(3)"""


def client_of(runs: Path, cache: Path, *, include_test: bool = False) -> TestClient:
    access = Access(PORT)
    library = Library(runs, TraceIndex(cache / "traces.sqlite"), include_test=include_test)
    client = TestClient(create_app(library, access), base_url=f"http://127.0.0.1:{PORT}", raise_server_exceptions=True)
    client.get("/", params={"token": access.token})
    return client


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that improved a pipeline."""
    folder = tmp_path_factory.mktemp("ran")
    shutil.copytree(PIPELINE, folder / "pipeline", ignore=shutil.ignore_patterns("fapo.lock"))
    return Path(optimize(folder, folder / "pipeline")["run_dir"])


@pytest.fixture(scope="module")
def site(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    return client_of(ran.parent, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def made_up(tmp_path: Path) -> tuple[TestClient, Path]:
    runs = tmp_path / "runs"
    runs.mkdir()
    return client_of(runs, tmp_path / "cache"), runs


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_the_list_names_the_run_and_how_it_ended(site: TestClient, ran: Path) -> None:
    page = site.get("/").text
    assert f"/run/{ran.name}" in page
    assert "improved" in page


def test_a_run_shows_verdict_variants_and_events(site: TestClient, ran: Path) -> None:
    page = text_of(site.get(f"/run/{ran.name}").text)
    assert "is better than the baseline on test: +" in page
    assert "95 % interval" in page
    assert "accepted" in page
    assert "opened, once, for 000 and" in page
    assert "is an offline stand-in, not a language model" in page


def test_a_variant_shows_what_it_changes_side_by_side(site: TestClient, ran: Path) -> None:
    best = re.findall(r"Variant (\d{3})", text_of(site.get(f"/run/{ran.name}").text))[0]
    page = site.get(f"/run/{ran.name}/variant/{best}").text
    assert "prompts/" in page
    assert '<tr class="added">' in page or '<tr class="changed">' in page
    assert "p, to be at most" in text_of(page)
    assert site.get(f"/run/{ran.name}/variant/000").status_code == 200


def test_cases_show_expected_prediction_blame_and_the_prompt_as_sent(site: TestClient, ran: Path) -> None:
    at = f"{ran.name}/evaluations/000-validation"
    page = site.get(f"/evaluation/{at}", params={"state": "failing"}).text
    first = re.search(r'data-part="([^"]+)"', page)
    assert first is not None
    trace = text_of(site.get(html.unescape(first[1])).text)
    for word in ("expected", "prediction", "blamed", "sent", "system", "user", "reply", "tokens"):
        assert word in trace


def test_the_labels_of_a_draft_on_a_part_of_train_are_at_hand(site: TestClient, ran: Path) -> None:
    draft = next((ran / "evaluations").glob("draft-*"))
    page = site.get(f"/evaluation/{ran.name}/evaluations/{draft.name}").text
    assert "Labels are not at hand" not in page
    trace = site.get(html.unescape(re.findall(r'data-part="([^"]+)"', page)[0])).text
    assert "<h4>expected</h4>" in trace


def test_cases_are_filtered_by_the_step_that_is_blamed(site: TestClient, ran: Path) -> None:
    at = f"{ran.name}/evaluations/000-validation"
    page = site.get(f"/evaluation/{at}").text
    step, category = re.findall(r'data-step="([^"]+)" data-category="([^"]+)"', page)[0]
    part = site.get(f"/part/cases/{at}", params={"step": step, "category": category})
    shown = re.findall(r'class="blame">([^<]+)<', part.text)
    assert shown
    assert set(shown) == {f"{step}: {category.replace('_', ' ')}"}
    assert part.headers["HX-Replace-Url"].startswith(f"/evaluation/{at}?")
    assert "No case matches." in site.get(f"/part/cases/{at}", params={"step": "nobody"}).text


def test_test_stays_sealed_unless_it_is_asked_for(site: TestClient, ran: Path, tmp_path: Path) -> None:
    at = f"{ran.name}/evaluations/000-test"
    case = re.findall(r'"case_id":"([^"]+)"', (ran / "evaluations" / "000-test" / "traces.jsonl").read_text())[0]
    for path in (f"/evaluation/{at}", f"/part/cases/{at}", f"/part/figures/{at}", f"/trace/{at}?case={case}",
                 f"/part/trace/{at}?case={case}", f"/stream/evaluation/{at}", f"/compare?a={at}&b={at}",
                 f"/part/pair?a={at}&b={at}&case={case}", f"/pair?a={at}&b={at}&case={case}"):  # fmt: skip
        answer = site.get(path)
        assert answer.status_code == 403, path
        assert case not in answer.text.replace(html.escape(path), "")
        assert "--include-test" in answer.text
    assert case not in site.get(f"/run/{ran.name}").text
    opened = client_of(ran.parent, tmp_path, include_test=True)
    assert case in opened.get(f"/evaluation/{at}").text
    assert opened.get("/trace/" + at, params={"case": case}).status_code == 200


def test_two_evaluations_are_compared_case_by_case(site: TestClient, ran: Path) -> None:
    best = re.findall(r"Variant (\d{3})", text_of(site.get(f"/run/{ran.name}").text))[0]
    sides = {side: f"{ran.name}/evaluations/{variant}-validation" for side, variant in (("a", "000"), ("b", best))}
    page = site.get("/compare", params=sides).text
    assert "B is better than A, by more than chance explains." in page
    won = site.get("/part/changes", params={**sides, "show": "won"}).text
    assert won.count("▲ won") == int(re.findall(r"won <b class=\"num\">(\d+)", page)[0])
    assert "lost" not in won
    pair = site.get(html.unescape(re.findall(r'data-part="([^"]+)"', won)[0])).text
    assert "first difference" in pair
    assert text_of(pair).count("trace") >= 2
    alone = site.get(html.unescape(re.findall(r'href="(/pair[^"]+)"', won)[0]))
    assert "first difference" in alone.text
    assert "data-close" not in alone.text


def test_looking_changes_nothing_on_disk(site: TestClient, ran: Path) -> None:
    def state() -> list[tuple[Path, int, int]]:
        return sorted((path, path.stat().st_mtime_ns, path.stat().st_size) for path in ran.rglob("*"))

    before = state()
    at = f"{ran.name}/evaluations/000-train"
    for path in ("/", f"/run/{ran.name}", f"/evaluation/{at}", f"/part/figures/{at}", f"/part/cases/{at}?q=x",
                 f"/compare?a={at}&b={ran.name}/evaluations/000-validation"):  # fmt: skip
        assert site.get(path).status_code == 200
    assert state() == before


def test_an_index_that_cannot_be_used_is_said_plainly(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "runs" / "one", [record("a")])
    site = client_of(tmp_path / "runs", tmp_path / "cache")
    (tmp_path / "cache" / "traces.sqlite").unlink()
    (tmp_path / "cache" / "traces.sqlite").mkdir()
    answer = site.get("/evaluation/one")
    assert answer.status_code == 500
    assert "index of traces cannot be used" in answer.text


def test_what_cannot_be_compared_says_why_and_still_shows_the_cases(made_up: tuple[TestClient, Path]) -> None:
    site, runs = made_up
    write_evaluation(runs / "one", [record("a"), record("b", 0.0), record("c")])
    write_evaluation(runs / "two", [record("b"), record("x"), record("y")])
    page = site.get("/compare", params={"a": "one", "b": "two"}).text
    assert "No verdict over all cases: not comparable" in page
    assert page.count("not in both") > 3
    assert "▲ won" in page


def test_what_is_not_there_is_said_plainly(site: TestClient, ran: Path) -> None:
    for path in ("/run/none", f"/run/{ran.name}/variant/999", f"/run/{ran.name}/variant/../../x", "/evaluation/none",
                 f"/evaluation/{ran.name}", f"/trace/{ran.name}/evaluations/000-validation?case=none",
                 "/compare?a=none&b=none", "/nothing/here"):  # fmt: skip
        answer = site.get(path)
        assert answer.status_code == 404, path
        assert "Not found" in answer.text


@pytest.mark.parametrize("at", ["%2e%2e", "%2e%2e/outside", "a/%2e%2e/%2e%2e/outside", "linked", "%00", ".hidden",
                                "%2fetc", "one/evaluations/%2e%2e/%2e%2e/%2e%2e/outside"])  # fmt: skip
def test_no_name_leads_out_of_the_folder_of_runs(made_up: tuple[TestClient, Path], at: str) -> None:
    site, runs = made_up
    for place in (runs.parent / "outside", runs / ".hidden"):
        write_evaluation(place, [record("secret")])
    write_evaluation(runs / "one", [record("a")])
    (runs / "linked").symlink_to(runs.parent / "outside")
    for path in (f"/evaluation/{at}", f"/trace/{at}?case=secret", f"/run/{at}", f"/compare?a={at}&b=one"):
        answer = site.get(path)
        assert answer.status_code == 404, path
        assert "question of secret" not in answer.text


def test_hostile_text_stays_text_on_every_page(made_up: tuple[TestClient, Path]) -> None:
    site, runs = made_up
    failed = Failure("pipeline", "raised", HOSTILE, HOSTILE)
    records = [record(HOSTILE, 0.5, output=HOSTILE), record("f", 0.0, prediction=None, score=None, failure=failed)]
    write_evaluation(runs / "one", records, variant=HOSTILE)
    write_evaluation(runs / "two", [record(HOSTILE, 1.0, output=[HOSTILE, HOSTILE]), record("f")])
    both = {"a": "one", "b": "two"}
    pages: list[tuple[str, dict[str, str]]] = [
        ("/", {}),
        ("/evaluation/one", {"q": HOSTILE, "step": HOSTILE, "sort": HOSTILE}),
        ("/evaluation/one", {}),
        ("/trace/one", {"case": HOSTILE}),
        ("/trace/one", {"case": "f"}),
        ("/compare", both),
        ("/part/pair", both | {"case": HOSTILE}),
        ("/pair", both | {"case": HOSTILE}),
        ("/run/" + HOSTILE, {}),
        ("/compare", {"a": HOSTILE}),
    ]
    for path, parameters in pages:
        page = site.get(path, params=parameters).text
        assert "<script>alert" not in page
        assert "<img" not in page
        assert '[[hx-get="' not in page
        assert "49" not in re.findall(r"onerror=alert\(2\)&gt; (\S+)", page)
        assert not re.search(r"""(href|src)=["']?javascript:""", page)


def test_a_long_value_is_cut_and_shown_whole_when_asked(made_up: tuple[TestClient, Path]) -> None:
    site, runs = made_up
    write_evaluation(runs / "one", [record("a", output="word " * 20_000 + "END-OF-IT")])
    page = site.get("/trace/one", params={"case": "a"}).text
    assert "END-OF-IT" not in page
    assert "more characters" in page
    assert "END-OF-IT" in site.get("/trace/one", params={"case": "a", "whole": "1"}).text


def test_many_cases_come_a_page_at_a_time(made_up: tuple[TestClient, Path]) -> None:
    site, runs = made_up
    write_evaluation(runs / "one", [record(f"case-{number:03d}") for number in range(230)])
    page = site.get("/evaluation/one").text
    found = []
    while True:
        found += re.findall(r'class="id">(case-\d+)', page)
        following = re.search(r'hx-get="(/part/cases/[^"]+)"\s+hx-trigger="intersect', page)
        if following is None:
            break
        page = site.get(html.unescape(following[1])).text
    assert found == [f"case-{number:03d}" for number in range(230)]


def test_a_growing_evaluation_is_followed_past_a_torn_line(made_up: tuple[TestClient, Path]) -> None:
    site, runs = made_up
    directory = write_evaluation(runs / "one", [record("a")])
    append(directory, [], torn=b'{"case_id": "b", "tri')
    assert "1 case" in text_of(site.get("/part/cases/one").text)
    append(directory, [], torn=b"\n")
    append(directory, [record("c", None)])
    page = text_of(site.get("/part/figures/one").text)
    assert "1 line of traces.jsonl cannot be read" in page
    assert "1 undecided" in page
    assert "Labels are not at hand" in page


def test_a_folder_without_runs_says_how_to_begin(made_up: tuple[TestClient, Path]) -> None:
    site, _ = made_up
    assert "fapo optimize quickstart" in site.get("/").text


def test_a_damaged_run_does_not_take_the_list_with_it(made_up: tuple[TestClient, Path]) -> None:
    site, runs = made_up
    write_evaluation(runs / "good", [record("a")])
    for name, content in (("20260101-bad", "{"), ("20260102-empty", "{}")):
        (runs / name).mkdir()
        (runs / name / "run.json").write_text(content)
    page = site.get("/")
    assert page.status_code == 200
    assert page.text.count("unreadable") == 2
    assert "good" in page.text
    assert "cannot be read back" in site.get("/run/20260101-bad").text
