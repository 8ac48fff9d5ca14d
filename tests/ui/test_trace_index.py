"""The index of traces: says what the files say, however they grow, tear, are replaced or are read by several."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fapo.errors import StorageError
from fapo.evaluation.evaluate import TRACES_FILE
from fapo.records import Case, Failure, Step, Usage
from fapo.store.files import to_json
from fapo.ui.blame import blame_some
from fapo.ui.case_table import CaseFilter, find_sample, read_blames, read_facets, read_page
from fapo.ui.trace_index import TraceIndex, read_record
from tests.support.traces import append, record, write_evaluation

FOREVER = 1e9


@pytest.fixture
def index(tmp_path: Path) -> TraceIndex:
    return TraceIndex(tmp_path / "cache" / "traces.sqlite")


def shown(index: TraceIndex, directory: Path, **wanted: str) -> list[str]:
    file = index.file_of(directory)
    return [row.case_id for row in read_page(index, file, CaseFilter.read(wanted), 0).rows]


def test_what_is_appended_is_taken_in_and_nothing_is_read_twice(index: TraceIndex, tmp_path: Path) -> None:
    directory = write_evaluation(tmp_path / "e", [record("a"), record("b", 0.5)])
    first = index.update(directory, FOREVER)
    assert first.done
    assert first.indexed == (directory / TRACES_FILE).stat().st_size
    append(directory, [record("c", 0.0)])
    assert index.update(directory, FOREVER).done
    figures = index.figures(index.file_of(directory))
    assert (figures.samples, figures.failing, figures.mean) == (3, 2, 0.5)
    assert [step.calls for step in index.steps(index.file_of(directory))] == [3, 3]


def test_a_torn_last_line_waits_until_it_is_whole(index: TraceIndex, tmp_path: Path) -> None:
    directory = write_evaluation(tmp_path / "e", [record("a")])
    line = to_json(record("b"))
    append(directory, [], torn=line[:50])
    progress = index.update(directory, FOREVER)
    assert progress.done
    assert progress.damaged == 0
    assert shown(index, directory) == ["a"]
    append(directory, [], torn=line[50:] + b"\n")
    assert index.update(directory, FOREVER).done
    assert shown(index, directory) == ["a", "b"]


def test_a_torn_line_that_a_resume_cuts_off_leaves_no_trace(index: TraceIndex, tmp_path: Path) -> None:
    directory = write_evaluation(tmp_path / "e", [record("a")])
    whole = (directory / TRACES_FILE).read_bytes()
    append(directory, [], torn=b'{"case_id": "b"')
    index.update(directory, FOREVER)
    (directory / TRACES_FILE).write_bytes(whole)
    append(directory, [record("c")])
    assert index.update(directory, FOREVER).done
    assert shown(index, directory) == ["a", "c"]


def test_a_line_that_is_no_record_is_counted_and_passed_over(index: TraceIndex, tmp_path: Path) -> None:
    directory = write_evaluation(tmp_path / "e", [record("a")])
    append(directory, [], torn=b'{"something": "else"}\nnot even JSON\n')
    append(directory, [record("b")])
    progress = index.update(directory, FOREVER)
    assert (progress.done, progress.damaged) == (True, 2)
    assert shown(index, directory) == ["a", "b"]


def test_another_file_in_the_same_place_is_read_anew(index: TraceIndex, tmp_path: Path) -> None:
    directory = write_evaluation(tmp_path / "e", [record("a"), record("b")])
    index.update(directory, FOREVER)
    (directory / TRACES_FILE).unlink()
    append(directory, [record("other"), record("b"), record("c")])
    index.update(directory, FOREVER)
    assert sorted(shown(index, directory)) == ["b", "c", "other"]
    assert index.figures(index.file_of(directory)).samples == 3


def test_a_case_that_was_undecided_counts_once_it_is_decided(index: TraceIndex, tmp_path: Path) -> None:
    directory = write_evaluation(tmp_path / "e", [record("a", None), record("b")])
    index.update(directory, FOREVER)
    assert index.figures(index.file_of(directory)).undecided == 1
    append(directory, [record("a", 0.25), record("b", None)])
    index.update(directory, FOREVER)
    figures = index.figures(index.file_of(directory))
    assert (figures.samples, figures.undecided, figures.mean) == (2, 0, 0.625)
    place = find_sample(index, index.file_of(directory), "a", 0, CaseFilter())
    assert place is not None
    assert read_record(directory, place.begins, place.length) == record("a", 0.25)


def test_unknown_cost_makes_the_sum_unknown(index: TraceIndex, tmp_path: Path) -> None:
    unpriced = Step("ask", "llm", {}, "answer", 0.0, 0.1, "made/up", Usage(1, 0, 5, 5, None))
    directory = write_evaluation(tmp_path / "e", [record("a"), record("b", steps=(unpriced,))])
    index.update(directory, FOREVER)
    file = index.file_of(directory)
    assert index.figures(file).usage == Usage(2, 0, 105, 15, None)
    assert index.steps(file)[0].cost_usd is None


def test_several_may_index_one_file_at_the_same_time(tmp_path: Path) -> None:
    directory = write_evaluation(tmp_path / "e", [record(f"case-{n:04d}", n % 2) for n in range(900)])
    indexes = [TraceIndex(tmp_path / "cache" / "traces.sqlite") for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda index: index.update(directory, FOREVER), indexes))
    assert all(progress.done for progress in done)
    figures = indexes[0].figures(indexes[0].file_of(directory))
    assert (figures.samples, figures.solved) == (900, 450)
    assert indexes[0].steps(indexes[0].file_of(directory))[0].calls == 900


def test_an_index_that_is_damaged_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "traces.sqlite"
    path.write_bytes(b"this is no database, " * 500)
    index = TraceIndex(path)
    directory = write_evaluation(tmp_path / "e", [record("a")])
    assert index.update(directory, FOREVER).done
    assert shown(index, directory) == ["a"]


def test_what_was_deleted_from_disk_leaves_the_index(tmp_path: Path) -> None:
    path = tmp_path / "traces.sqlite"
    kept, deleted = (write_evaluation(tmp_path / name, [record("a")]) for name in ("kept", "deleted"))
    for directory in (kept, deleted):
        TraceIndex(path).update(directory, FOREVER)
    (deleted / TRACES_FILE).unlink()
    index = TraceIndex(path)
    assert (index.file_of(kept) > 0, index.file_of(deleted)) == (True, 0)


def test_a_cache_folder_that_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="cannot be written"):
        TraceIndex(tmp_path / "cache" / "traces.sqlite")


def test_an_evaluation_without_traces_has_no_cases(index: TraceIndex, tmp_path: Path) -> None:
    directory = write_evaluation(tmp_path / "e", [])
    (directory / TRACES_FILE).unlink()
    assert index.update(directory, FOREVER).done
    assert index.figures(index.file_of(directory)).samples == 0


@pytest.fixture
def mixed(index: TraceIndex, tmp_path: Path) -> Path:
    failed = Failure("pipeline", "timeout", "took more than 60 s", "ask")
    directory = write_evaluation(tmp_path / "mixed", [
        record("z-first", 1.0, output="Grüße aus Porto"),
        record("b-half", 0.5, output="wrong"),
        record("c-none", 0.0, output="100%_wrong", duration_s=9.0),
        record("d-open", None),
        record("e-failed", 0.0, prediction=None, score=None, failure=failed),
    ])  # fmt: skip
    index.update(directory, FOREVER)
    return directory


@pytest.mark.parametrize(("wanted", "cases"), [
    ({}, "z-first b-half c-none d-open e-failed"),
    ({"state": "failing"}, "b-half c-none e-failed"),
    ({"state": "solved"}, "z-first"),
    ({"state": "failed"}, "e-failed"),
    ({"state": "undecided"}, "d-open"),
    ({"q": "GRÜSSE"}, "z-first"),
    ({"q": "question of c-none"}, "c-none"),
    ({"q": "%_w"}, "c-none"),
    ({"q": "60 s"}, "e-failed"),
    ({"q": "' OR 1=1 --"}, ""),
    ({"low": "0.4", "high": "0.6"}, "b-half"),
    ({"low": "0.9", "high": "1.0"}, "z-first"),
    ({"low": "nonsense"}, "z-first b-half c-none d-open e-failed"),
    ({"sort": "lowest score"}, "c-none e-failed b-half z-first d-open"),
    ({"sort": "highest score"}, "z-first b-half c-none e-failed d-open"),
    ({"sort": "slowest"}, "c-none z-first b-half d-open e-failed"),
    ({"sort": "case id"}, "b-half c-none d-open e-failed z-first"),
    ({"sort": "id; DROP TABLE cases"}, "z-first b-half c-none d-open e-failed"),
])  # fmt: skip
def test_cases_are_filtered_and_sorted(index: TraceIndex, mixed: Path, wanted: dict[str, str], cases: str) -> None:
    assert shown(index, mixed, **wanted) == cases.split()


def test_pages_follow_each_other_without_gap(index: TraceIndex, tmp_path: Path) -> None:
    directory = write_evaluation(tmp_path / "e", [record(f"case-{n}") for n in range(7)])
    index.update(directory, FOREVER)
    file, start, found = index.file_of(directory), 0, []
    while True:
        page = read_page(index, file, CaseFilter(), start, most=3)
        found += [row.case_id for row in page.rows]
        if page.next is None:
            break
        start = page.next
    assert found == [f"case-{n}" for n in range(7)]


def test_neighbours_are_those_that_the_filter_shows(index: TraceIndex, mixed: Path) -> None:
    place = find_sample(index, index.file_of(mixed), "c-none", 0, CaseFilter(state="failing"))
    assert place is not None
    assert (place.before, place.after, place.number, place.of) == (("b-half", 0), ("e-failed", 0), 2, 3)


def test_failing_cases_are_blamed_and_can_be_filtered_by_it(index: TraceIndex, tmp_path: Path) -> None:
    records = [record(f"right-{n}", output=f"word{n}") for n in range(3)]
    records += [record("wrong", 0.0, output="something else")]
    directory = write_evaluation(tmp_path / "e", records)
    index.update(directory, FOREVER)
    cases = {each.case_id: Case(each.case_id, {}, "gold") for each in records}
    assert blame_some(index, directory, cases, FOREVER) == 0
    file = index.file_of(directory)
    [facet] = read_facets(index, file)
    assert (facet.samples, facet.loss) == (1, 1.0)
    assert shown(index, directory, step=facet.step, category=facet.category) == ["wrong"]
    assert shown(index, directory, step="another") == []
    place = find_sample(index, file, "wrong", 0, CaseFilter())
    assert place is not None
    assert [blame.case_id for blame in read_blames(index, place.sample)] == ["wrong"]


def test_blame_is_renewed_when_more_solved_cases_are_known(index: TraceIndex, tmp_path: Path) -> None:
    directory = write_evaluation(tmp_path / "e", [record("wrong", 0.0, output="x")])
    cases = {name: Case(name, {}, "gold") for name in ("wrong", "right", "late")}
    index.update(directory, FOREVER)
    blame_some(index, directory, cases, FOREVER)
    before = index.judged_by(index.file_of(directory))
    append(directory, [record("right", output="gold"), record("late", 0.0, output="y")])
    index.update(directory, FOREVER)
    assert blame_some(index, directory, cases, FOREVER) == 0
    assert index.judged_by(index.file_of(directory)) != before
    assert shown(index, directory, state="failing") == ["wrong", "late"]
    assert sum(facet.samples for facet in read_facets(index, index.file_of(directory))) == 2
