"""Cases come in unchanged, or not at all with the file and line."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fapo.data import Columns, find_builtin, load_benchmark, load_cases, load_splits, split_digest
from fapo.errors import UsageError
from fapo.records import Case

PLAIN = ["016", "2012-01-01", "null", "true", "5.15", "NaN"]
TRICKY = [*PLAIN, "2012", "1e5", "", " padded ", '"quoted", with comma', "äöü\u2028"]


def write_jsonl(path: Path, *rows: Any) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def row(ident: str = "a", **changes: Any) -> dict[str, Any]:
    return {"id": ident, "inputs": {"q": "x"}, "expected": {"a": "y"}} | changes


def test_jsonl_values_come_through_unchanged(tmp_path: Path) -> None:
    inputs = {f"v{i}": value for i, value in enumerate([*TRICKY, 16, 5.15, None, True, [1, "1"], {"a": "016"}])}
    (case,) = load_cases(
        write_jsonl(tmp_path / "c.jsonl", row(inputs=inputs, expected={"a": "016"}, metadata={"k": "7"}))
    )
    assert case == Case("a", inputs, {"a": "016"}, {"k": "7"})


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_table_values_stay_texts(tmp_path: Path, suffix: str) -> None:
    separator = "," if suffix == "csv" else "\t"
    path = tmp_path / f"c.{suffix}"
    lines = [separator.join(["key", "text", "label"])]
    lines += [
        separator.join([f"k{i}", v, v]) for i, v in enumerate(["016", "2012-01-01", "null", "true", "5.15", "NaN"])
    ]
    path.write_text("\n".join(lines) + "\n")
    cases = load_cases(path, columns=Columns(id="key", inputs=("text",), expected=("label",)))
    assert [case.inputs["text"] for case in cases] == PLAIN
    assert cases[0] == Case("k0", {"text": "016"}, {"label": "016"}, {})


def test_parquet_texts_stay_texts(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    path = tmp_path / "c.parquet"
    datasets.Dataset.from_dict({"key": ["a", "b"], "text": ["016", "null"], "label": ["2012", "true"]}).to_parquet(
        str(path)
    )
    cases = load_cases(path, columns=Columns(id="key", inputs=("text",), expected=("label",)))
    assert [(case.inputs["text"], case.expected["label"]) for case in cases] == [("016", "2012"), ("null", "true")]


FAULTS: dict[str, tuple[list[Any], str]] = {
    "a broken line": ([row("a"), "{oops"], "c.jsonl:2: invalid JSON"),
    "a line that is no object": ([row("a"), "[1]"], "c.jsonl:2: a case must be a JSON object"),
    "no id": ([{"inputs": {"q": 1}, "expected": 1}], "c.jsonl:1: `id` must be a text"),
    "an id that is a number": ([row() | {"id": 5}], "c.jsonl:1: `id` must be a text"),
    "no inputs": ([{"id": "a", "expected": 1}], "c.jsonl:1: `inputs` must be an object"),
    "inputs that are a text": ([row(inputs="x")], "c.jsonl:1: `inputs` must be an object"),
    "no label": ([row("a"), {"id": "b", "inputs": {"q": 1}}], "c.jsonl:2: case `b` has no label"),
    "an empty label": ([row(expected="")], "c.jsonl:1: case `a` has no label"),
    "metadata that is a list": ([row(metadata=[1])], "c.jsonl:1: `metadata` must be an object"),
    "an unknown key": ([row(label="x")], "c.jsonl:1: unknown key `label`"),
    "a duplicate id": ([row("a"), row("b"), row("a")], "c.jsonl:3: case id `a` stands on line 1 already"),
    "no rows": ([], "c.jsonl: the split is empty"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_row_that_is_no_case_is_named_with_its_line(tmp_path: Path, fault: str) -> None:
    rows, message = FAULTS[fault]
    with pytest.raises(UsageError) as caught:
        load_cases(write_jsonl(tmp_path / "c.jsonl", *rows))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_blank_lines_do_not_shift_the_line_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"c\.jsonl:4: invalid JSON"):
        load_cases(write_jsonl(tmp_path / "c.jsonl", row("a"), "", "", "{"))


@pytest.mark.parametrize(
    ("name", "message"), [("gone.jsonl", "no such case file"), ("c.xml", "unknown kind"), ("c.csv", "needs `columns:`")]
)
def test_a_file_that_cannot_be_read_as_cases_is_named(tmp_path: Path, name: str, message: str) -> None:
    if name != "gone.jsonl":
        (tmp_path / name).write_text("x")
    with pytest.raises(UsageError, match=message):
        load_cases(tmp_path / name)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("key,text\na,b\n")
    with pytest.raises(UsageError, match=r"c\.csv:2: column `label` is missing"):
        load_cases(tmp_path / "c.csv", columns=Columns(id="key", inputs=("text",), expected=("label",)))


def test_a_case_in_two_splits_is_refused(tmp_path: Path) -> None:
    train = write_jsonl(tmp_path / "train.jsonl", row("a"))
    validation = write_jsonl(tmp_path / "validation.jsonl", row("b"), row("a"))
    test = write_jsonl(tmp_path / "test.jsonl", row("c"))
    with pytest.raises(UsageError, match=r"validation\.jsonl:2: case `a` is in train\.jsonl:1 too"):
        load_splits({"train": train, "validation": validation, "test": test})


def make_benchmark(directory: Path, change: Callable[[str], str] = lambda text: text) -> Path:
    for split in ("train", "validation", "test"):
        write_jsonl(directory / f"{split}.jsonl", row(split, metadata={"group": split}))
    text = textwrap.dedent("""\
        name: b
        splits: {train: train.jsonl, validation: validation.jsonl, test: test.jsonl}
        score: exact_match
        cluster: group
        """)
    (directory / "benchmark.yaml").write_text(change(text))
    return directory


def test_a_benchmark_is_read_as_a_whole(tmp_path: Path) -> None:
    found = load_benchmark(make_benchmark(tmp_path))
    assert (found.name, found.score, found.cluster, found.closed_labels) == ("b", "exact_match", "group", False)
    assert [case.id for case in found.cases("test")] == ["test"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("score: exact_match\n", "", "`score`: Field required"),
        ("name: b", "name: b\ncolour: red", "`colour`"),
        (", test: test.jsonl", "", "`splits`: test is missing"),
        ("cluster: group", "cluster: family", "has no metadata `family`"),
        ("name: b", "name: [", "broken YAML"),
    ],
)
def test_a_broken_benchmark_yaml_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_benchmark(make_benchmark(tmp_path, lambda text: text.replace(old, new)))
    assert message in str(caught.value)


def test_a_digest_changes_with_any_part_of_a_case() -> None:
    base = Case("a", {"q": "1"}, {"a": "1"}, {"m": "1"})
    others = [
        Case("b", {"q": "1"}, {"a": "1"}, {"m": "1"}),
        Case("a", {"q": 1}, {"a": "1"}, {"m": "1"}),
        Case("a", {"q": "1"}, {"a": "2"}, {"m": "1"}),
        Case("a", {"q": "1"}, {"a": "1"}, {}),
    ]
    assert len({split_digest((case,)) for case in (base, *others)}) == 5
    assert split_digest((base, others[0])) != split_digest((others[0], base))


def test_what_comes_with_fapo_is_found_by_name() -> None:
    assert find_builtin("scores", "exact_match.py") is not None
    assert find_builtin("pipelines", "quickstart") is not None
    assert find_builtin("benchmarks", "nothing") is None
