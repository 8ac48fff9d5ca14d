"""PUPA's sample, and the pipeline that asks an untrusted model: it is sent what is on record, and nothing else."""

from __future__ import annotations

import asyncio
import csv
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import pytest

from fapo.benchmark.sources import read_rows
from fapo.data import load_benchmark
from fapo.evaluation.evaluate import EvaluationPlan, Manifest, Observer, evaluate, load_decided
from fapo.evaluation.intervention import Intervention
from fapo.evaluation.judging import Judge
from fapo.evaluation.project import Project, load_project
from fapo.llm.gateway import Gateway
from fapo.records import SPLITS, Case, CaseRecord, ModelReply, ModelRequest, Prediction
from fapo.standin.judge import judge
from tests.benchmark.test_published_splits import adapter
from tests.support.command import builtin, fapo
from tests.support.evaluations import FakeGateway, Watcher

MODELS = "trusted=at-home,untrusted=far-away,judge=the-judge"
COLUMNS = ("conversation_hash", "predicted_category", "user_query", "target_response", "pii_units", "redacted_query")


# -- the data


def test_the_script_makes_all_files_byte_for_byte(tmp_path: Path) -> None:
    source = builtin("benchmarks", "pupa")
    copy = shutil.copytree(source, tmp_path / "pupa", ignore=shutil.ignore_patterns("*.jsonl", "__pycache__"))
    (copy / "data").mkdir(exist_ok=True)
    subprocess.run([sys.executable, str(copy / "make_chats.py")], check=True, capture_output=True)
    for split in SPLITS:
        made, shipped = (folder / "data" / f"{split}.jsonl" for folder in (copy, source))
        assert made.read_bytes() == shipped.read_bytes(), split


def test_the_sample_keeps_people_apart_and_hides_what_is_private_in_the_query() -> None:
    benchmark = load_benchmark(builtin("benchmarks", "pupa"))
    assert [len(benchmark.cases(split)) for split in SPLITS] == [60, 60, 60]
    conversations = [{case.metadata["conversation"] for case in benchmark.cases(split)} for split in SPLITS]
    assert all(30 < len(found) < 60 for found in conversations), "some people ask twice"
    assert not conversations[0] & conversations[1]
    assert not conversations[2] & (conversations[0] | conversations[1])
    for split in SPLITS:
        for case in benchmark.cases(split):
            assert set(case.inputs) == {"user_query"}
            assert case.expected["units"] >= len(case.expected["pieces"]) > 3
            assert all(piece in case.inputs["user_query"] for piece in case.expected["pieces"])
    assert benchmark.guards.inputs == ("user_query",)


def test_the_published_split_from_a_file_of_the_real_layout(tmp_path: Path) -> None:
    def row(number: int) -> dict[str, str]:
        units = "||Ilse, the elder||Ilse, the elder|| 016 ||" if number % 2 else ""
        query = f'Query {number}:\n\n"quoted, over\nlines" 016'
        return dict(zip(COLUMNS, (f"hash{number // 2}", "A", query, "null", units, "redacted"), strict=True))

    path = tmp_path / "PUPA_New.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(map(row, range(664)))
    splits = adapter("pupa").cases({"pupa_new": read_rows([path])})
    assert {split: len(cases) for split, cases in splits.items()} == {"train": 111, "validation": 111, "test": 221}
    assert [splits[split][0]["id"] for split in SPLITS] == ["pupa-0000", "pupa-0111", "pupa-0222"]
    assert splits["test"][-1]["id"] == "pupa-0442"
    empty, noisy = splits["train"][:2]
    assert noisy["inputs"] == {"user_query": 'Query 1:\n\n"quoted, over\nlines" 016'}
    assert noisy["expected"] == {"reply": "null", "pieces": ["Ilse, the elder", "016"], "units": 3}
    assert empty["expected"] == {"reply": "null", "pieces": [], "units": 1}
    assert (empty["metadata"]["conversation"], noisy["metadata"]["conversation"]) == ("hash0", "hash0")


# -- who is sent what


class Models(FakeGateway):
    """The trusted model says things of its own, the untrusted one repeats, and the judge finds all well."""

    async def complete(
        self, request: ModelRequest, purpose: str = "task", *, on_hold: object = None, rank: int = 0
    ) -> ModelReply:
        self.requests.append(request)
        last = request.messages[-1]["content"]
        said = "none" if "Pieces:" in last else {"the-judge": "A", "far-away": last}.get(request.model, "a word")
        return ModelReply(said, request.model, "stop", 10, 5, 0.001, 0.01)


def ran(
    folder: Path, project: Project, gateway: Models, *, n: int = 8, change: Intervention | None = None
) -> list[CaseRecord]:
    """The records of some validation cases on models that are no stand-ins."""
    cases = project.cases("validation")[:n]
    manifest = Manifest("papillon", "000", "d", "validation", "c", "pupa", "s", 1, project.spec.models)
    plan = EvaluationPlan(
        project.directory, project.spec, cases, project.score, manifest, folder / "evaluation", 4, "auto",
        guards=project.benchmark.guards, judge=project.judge,
        interventions={case.id: change for case in cases} if change is not None else {},
    )  # fmt: skip
    evaluation = asyncio.run(evaluate(plan, cast(Gateway, gateway), cast(Observer, Watcher())))
    return list(evaluation.records)


def contents(request: ModelRequest) -> str:
    return "\n\n".join(str(message["content"]) for message in request.messages)


def recorded(records: list[CaseRecord], role: str) -> list[str]:
    """Every message that a role was sent, as the traces have it."""
    found = [step.inputs["messages"] for record in records for step in record.steps if step.role == role]
    return sorted("\n\n".join(message["content"] for message in messages) for messages in found)


def test_the_untrusted_model_is_sent_the_crafted_request_and_nothing_else(tmp_path: Path) -> None:
    gateway = Models()
    project = load_project(builtin("pipelines", "papillon"), model=MODELS)
    records = ran(tmp_path, project, gateway)
    assert all(record.score is not None and record.score.value == 1 for record in records)
    sent = sorted(contents(request) for request in gateway.requests if request.model == "far-away")
    assert sent == recorded(records, "untrusted") == ["a word"] * 8
    queries = [case.inputs["user_query"] for case in project.cases("validation")[:8]]
    seen = {request.model for request in gateway.requests for query in queries if query in contents(request)}
    assert seen == {"at-home", "the-judge"} or seen == {"at-home"}, "the judge is shown the query indented"


RAW = """\
from fapo import Prediction


async def run(inputs, ctx):
    await ctx.llm("call_untrusted", request=inputs["user_query"])
    said = Prediction("a word", sent={"untrusted": ("nothing at all",)})
    return said
"""


def test_a_pipeline_that_sends_the_raw_query_is_seen_to_and_cannot_deny_it(tmp_path: Path) -> None:
    pipeline = shutil.copytree(builtin("pipelines", "papillon"), tmp_path / "pipeline")
    (pipeline / "pipeline.py").write_text(RAW)
    gateway = Models()
    project = load_project(pipeline, model=MODELS)
    records = ran(tmp_path, project, gateway)
    queries = sorted(case.inputs["user_query"] for case in project.cases("validation")[:8])
    assert recorded(records, "untrusted") == queries
    assert all(record.score is not None and record.score.breakdown["string_leakage"] == 1 for record in records)
    asked = [contents(request) for request in gateway.requests if "Pieces:" in contents(request)]
    assert len(asked) == 8
    assert not any("nothing at all" in text for text in asked), "the judge looks at what was sent"


def test_no_other_model_takes_the_place_of_a_role(tmp_path: Path) -> None:
    project = load_project(builtin("pipelines", "papillon"), model=MODELS)
    assert project.spec.models == {"trusted": "at-home", "untrusted": "far-away"}
    assert project.judge == "the-judge"
    less = replace(project, spec=project.spec.model_copy(update={"models": {"trusted": "at-home"}}))
    gateway = Models()
    records = ran(tmp_path, less, gateway, n=1)
    assert records[0].failure is not None
    assert records[0].failure.kind == "no_role"
    assert {request.model for request in gateway.requests} == {"at-home"}


@pytest.mark.parametrize("given", ["gpt", "trusted=a,boss=b", "untrusted=", "task=x"])
def test_a_model_for_a_role_that_there_is_not_is_refused(tmp_path: Path, given: str) -> None:
    refused = fapo(tmp_path, "eval", "papillon", "--model", given)
    assert refused.code == 2
    assert "is no role of it; say trusted=MODEL,untrusted=MODEL" in " ".join(refused.err.split())


def test_a_replayed_step_counts_as_sent(tmp_path: Path) -> None:
    project = load_project(builtin("pipelines", "papillon"), model=MODELS)
    records = ran(tmp_path, project, Models(), n=2, change=Intervention("call_untrusted", outputs=("other words",)))
    assert recorded(records, "untrusted") == ["a word"] * 2
    assert all(record.score is not None and record.score.value == 1 for record in records)


# -- on the stand-ins


def evaluated(folder: Path, pipeline: Path | str) -> dict[str, Any]:
    done = fapo(folder, "eval", pipeline, "--json", "--split", "validation")
    assert done.code == 0, done.err
    return done.json


def test_the_baseline_leaks_some_and_scores_less_with_the_labels_of_others(tmp_path: Path) -> None:
    as_shipped = evaluated(tmp_path, "papillon")
    steps = [step["step"] for step in as_shipped["steps"]]
    assert steps == ["craft_redacted_request", "call_untrusted", "respond_to_query"]
    assert as_shipped["failures"] == 0
    assert 0.4 <= as_shipped["score"]["mean"] <= 0.7
    assert as_shipped["judge"]["usage"]["llm_calls"] > 60
    again = evaluated(tmp_path, "papillon")
    assert (again["judge"]["usage"]["llm_calls"], again["score"]["mean"]) == (0, as_shipped["score"]["mean"])
    evaluation = Path(as_shipped["evaluation_dir"])
    assert scored_as_others(evaluation) < as_shipped["score"]["mean"] - 0.05


def scored_as_others(evaluation: Path) -> float:
    """The mean where each reply is taken for that of the next case: scored by its query, reference and pieces.

    To exchange the references alone would not do: the reference of another query is easily matched.
    """
    project = load_project(builtin("pipelines", "papillon"))
    gateway = FakeGateway(lambda request: judge(request.messages))
    decided = load_decided(evaluation)
    cases = project.cases("validation")

    async def value(case: Case, record: CaseRecord) -> float:
        assert record.prediction is not None
        sent = tuple(recorded([record], "untrusted"))
        prediction = Prediction(record.prediction.output, sent={"untrusted": sent})
        return (await project.score.waited(case, prediction, Judge(cast(Gateway, gateway), "judge"))).value

    async def values() -> list[float]:
        others = [*cases[2:], *cases[:2]]
        return [await value(other, decided[case.id, 0]) for case, other in zip(cases, others, strict=True)]

    return fmean(asyncio.run(values()))
