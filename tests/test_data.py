"""Cases come in unchanged, or not at all with the file and line."""

from __future__ import annotations

import csv
import datetime as dt
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from fapo.data import Columns, find_builtin, load_benchmark, load_cases, load_splits, split_digest
from fapo.errors import UsageError
from fapo.records import SPLITS, Case

PLAIN = ["016", "2012-01-01", "null", "true", "5.15", "NaN"]
TRICKY = [*PLAIN, "2012", "1e5", "", " padded ", '"quoted", with comma', "äöü\u2028"]


def write_jsonl(path: Path, *rows: Any) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def run_python(code: str, directory: Path, environment: Mapping[str, str]) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=directory, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=120
    ).stdout


def row(ident: str = "a", **changes: Any) -> dict[str, Any]:
    return {"id": ident, "inputs": {"q": "x"}, "expected": {"a": "y"}} | changes


def test_jsonl_values_come_through_unchanged(tmp_path: Path) -> None:
    inputs = {f"v{i}": value for i, value in enumerate([*TRICKY, 16, 5.15, None, True, [1, "1"], {"a": "016"}])}
    (case,) = load_cases(
        write_jsonl(tmp_path / "c.jsonl", row(inputs=inputs, expected={"a": "016"}, metadata={"k": "7"}))
    )
    assert case == Case("a", inputs, {"a": "016"}, {"k": "7"})


COLUMNS = Columns(id="key", inputs=("text",), expected=("label",))


def write_parquet(path: Path, **columns: list[Any]) -> Path:
    parquet.write_table(pyarrow.table(columns), path)
    return path


def write_table(path: Path, texts: list[str], labels: list[str]) -> Path:
    keys = [f"k{number}" for number in range(len(texts))]
    if path.suffix == ".parquet":
        return write_parquet(path, key=keys, text=texts, label=labels)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows([("key", "text", "label"), *zip(keys, texts, labels, strict=True)])
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_table_values_stay_texts(tmp_path: Path, suffix: str) -> None:
    texts = [*TRICKY, "two\nlines", "a\tb", "x" * 200_000]
    cases = load_cases(write_table(tmp_path / f"c.{suffix}", texts, ["016"] * len(texts)), columns=COLUMNS)
    assert [case.inputs["text"] for case in cases] == texts
    labels = load_cases(write_table(tmp_path / f"d.{suffix}", PLAIN, PLAIN), columns=COLUMNS)
    assert [case.expected["label"] for case in labels] == PLAIN
    assert labels[0] == Case("k0", {"text": "016"}, {"label": "016"}, {})


def test_parquet_values_keep_their_types(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "c.parquet", key=[7, 8], text=[["a", "16"], []], label=[16, 17])
    assert load_cases(path, columns=COLUMNS) == (
        Case("7", {"text": ["a", "16"]}, {"label": 16}, {}),
        Case("8", {"text": []}, {"label": 17}, {}),
    )


def test_cases_of_a_parquet_file_leave_nothing_in_the_users_cache(tmp_path: Path) -> None:
    write_table(tmp_path / "c.parquet", ["x"], ["a secret label"])
    code = (
        "from fapo.data import Columns, load_cases; from pathlib import Path; "
        "print(len(load_cases(Path('c.parquet'), columns=Columns(id='key', inputs=('text',), expected=('label',)))))"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    found = run_python(code, tmp_path, environment)
    assert found == "1\n"
    assert not list(tmp_path.rglob("*.arrow"))


TABLE_FAULTS: dict[str, tuple[str, bytes, str]] = {
    "a cell too many": ("c.csv", b"key,text,label\na,b,c\nd,e,f,g\n", "c.csv:3: 4 cells under 3 columns"),
    "a cell too few": ("c.csv", b"key,text,label\na,b\n", "c.csv:2: 2 cells under 3 columns"),
    "two columns of one name": ("c.csv", b"key,text,text,label\na,b,c,d\n", "c.csv:1: two columns"),
    "an open quote": ("c.tsv", b'key\ttext\tlabel\na\t"b\tc\n', "c.tsv:2: broken table"),
    "another encoding": ("c.csv", b"key,text,label\na,b,c\nd,\xff,f\n", "c.csv:3: not UTF-8"),
    "an empty label": ("c.csv", b"key,text,label\na,b,\n", "c.csv:2: case `a` has no label"),
    "a line after a long cell": ("c.csv", b'key,text,label\na,"b\nb",c\n\na,e,f\n', "c.csv:5: case id `a`"),
    "only a header": ("c.csv", b"key,text,label\n", "c.csv: the split is empty"),
    "nothing at all": ("c.csv", b"", "c.csv: the split is empty"),
    "no Parquet": ("c.parquet", b"key,text,label\n", "c.parquet: cannot be read as Parquet"),
}  # fmt: skip


@pytest.mark.parametrize("fault", TABLE_FAULTS)
def test_a_table_that_holds_no_cases_is_named_with_its_line(tmp_path: Path, fault: str) -> None:
    name, content, message = TABLE_FAULTS[fault]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_cases(tmp_path / name, columns=COLUMNS)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_spreadsheet_saves_is_read(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_bytes(b"\xef\xbb\xbfkey,text,label\r\na,b,c\r\n")
    assert load_cases(tmp_path / "c.csv", columns=COLUMNS) == (Case("a", {"text": "b"}, {"label": "c"}, {}),)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([dt.datetime(2024, 8, 31)], "c.parquet:1: `inputs` holds a datetime"),
        ([b"x"], "c.parquet:1: `inputs` holds a bytes"),
        ([1.5, float("nan")], "c.parquet:2: `inputs` holds the number nan"),
    ],
)
def test_a_value_that_json_cannot_say_is_refused_not_converted(tmp_path: Path, values: list[Any], message: str) -> None:
    keys = [str(number) for number in range(len(values))]
    with pytest.raises(UsageError, match=message):
        load_cases(write_parquet(tmp_path / "c.parquet", key=keys, text=values, label=keys), columns=COLUMNS)


FAULTS: dict[str, tuple[list[Any], str]] = {
    "a broken line": ([row("a"), "{oops"], "c.jsonl:2: invalid JSON"),
    "a line that is no object": ([row("a"), "[1]"], "c.jsonl:2: a case must be a JSON object"),
    "no id": ([{"inputs": {"q": 1}, "expected": 1}], "c.jsonl:1: `id` must be a text"),
    "an id that is a number": ([row() | {"id": 5}], "c.jsonl:1: `id` must be a text"),
    "no inputs": ([{"id": "a", "expected": 1}], "c.jsonl:1: `inputs` must be an object"),
    "inputs that are a text": ([row(inputs="x")], "c.jsonl:1: `inputs` must be an object"),
    "no label": ([row("a"), {"id": "b", "inputs": {"q": 1}}], "c.jsonl:2: case `b` has no label"),
    "an empty label": ([row(expected="")], "c.jsonl:1: case `a` has no label"),
    "a label that is an empty list": ([row(expected=[])], "c.jsonl:1: case `a` has no label"),
    "a label of white space": ([row(expected=" ")], "c.jsonl:1: case `a` has no label"),
    "a label with an empty field": ([row(expected={"a": None})], "c.jsonl:1: case `a` has no label"),
    "a key that stands twice": (['{"id": "a", "id": "b"}'], "c.jsonl:1: invalid JSON: key `id` stands twice"),
    "a number that JSON does not know": ([row(inputs={"q": float("inf")})], "c.jsonl:1: `inputs` holds the number inf"),
    "half a character": ([row(inputs={"q": ["\ud800"]})], "c.jsonl:1: `inputs` holds half of a surrogate pair"),
    "nesting without end": (['{"id": ' + "[" * 100_000], "c.jsonl:1: invalid JSON"),
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


@pytest.mark.parametrize("expected", [0, False, "0", {"found": []}, {"a": "", "b": "x"}])
def test_a_label_that_looks_like_nothing_is_a_label(tmp_path: Path, expected: Any) -> None:
    (case,) = load_cases(write_jsonl(tmp_path / "c.jsonl", row(expected=expected)))
    assert case.expected == expected


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
        ("score: exact_match\n", "", "benchmark.yaml: `score`: Field required"),
        ("name: b", "name: b\ncolour: red", "benchmark.yaml:2: `colour`: unknown key"),
        (", test: test.jsonl", "", "benchmark.yaml:2: `splits`: test is missing"),
        ("test: test.jsonl", "test: 5", "benchmark.yaml:2: `splits.test`: Input should be a valid string"),
        ("test: test.jsonl", "test: gone.jsonl", "gone.jsonl: no such case file"),
        ("cluster: group", "cluster: family", "train.jsonl:1: case `train` has no metadata `family`"),
        ("name: b", "name: [", "benchmark.yaml:3: broken YAML"),
        ("name: b", "- name", "benchmark.yaml:2: broken YAML"),
        ("test: test.jsonl", "test: {hub: {id: a/b, split: test}}", "`splits.test.hub.revision`: Field required"),
        (
            "test: test.jsonl",
            "test: {hub: {id: a/b, split: test, revision: main}}",
            "benchmark.yaml:2: `splits.test.hub.revision`: must be a commit hash of 40 hex digits",
        ),
        (
            "test: test.jsonl",
            f"test: {{hub: {{id: a/b, split: test, revision: {'1a' * 20}}}}}",
            f"a/b@{'1a' * 6} test: a table needs `columns:`",
        ),
    ],
)
def test_a_broken_benchmark_yaml_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_benchmark(make_benchmark(tmp_path, lambda text: text.replace(old, new)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"- a\n", "must hold a mapping"), (b"", "must hold a mapping"), (b"name: \xff", "benchmark.yaml:1: not UTF-8")],
)
def test_a_benchmark_yaml_that_is_no_mapping_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "benchmark.yaml").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load_benchmark(tmp_path)


def test_the_digest_of_a_benchmark_changes_with_a_case_of_any_split(tmp_path: Path) -> None:
    found = {load_benchmark(make_benchmark(tmp_path)).digest}
    for split in SPLITS:
        make_benchmark(tmp_path)
        write_jsonl(tmp_path / f"{split}.jsonl", row(split, expected="z", metadata={"group": split}))
        found.add(load_benchmark(tmp_path).digest)
    assert len(found) == 4


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


# -- gold evidence


def _benchmark_with_gold(tmp_path: Path, gold: str) -> Path:
    for split in SPLITS:
        case = row(ident=split, expected={"answer": "x"}, metadata={"papers": ["First", "Second"]})
        write_jsonl(tmp_path / f"{split}.jsonl", case)
    splits = ", ".join(f"{split}: {split}.jsonl" for split in SPLITS)
    text = f"name: b\nsplits: {{{splits}}}\nscore: exact_match\ngold: {gold}\n"
    (tmp_path / "benchmark.yaml").write_text(text)
    return tmp_path


def test_declared_gold_documents_stand_in_every_case_and_by_step(tmp_path: Path) -> None:
    where = _benchmark_with_gold(tmp_path, "{documents: papers, steps: {find: 0, find_more: 1, find_most: 2}}")
    metadata = load_benchmark(where).cases("train")[0].metadata
    assert metadata["gold_evidence"] == ["First", "Second"]
    assert metadata["gold_by_step"] == {"find": ["First"], "find_more": ["Second"]}
    prepared = load_benchmark(where, prepared=where).cases("test")[0].metadata
    assert prepared["gold_by_step"] == {}, "the order of hops is the sample's"


@pytest.mark.parametrize("gold", ["{documents: title}", "{documents: answer}"])
def test_gold_documents_that_a_case_lacks_are_named(tmp_path: Path, gold: str) -> None:
    with pytest.raises(UsageError, match="`gold`: case `train` has no list"):
        load_benchmark(_benchmark_with_gold(tmp_path, gold))
