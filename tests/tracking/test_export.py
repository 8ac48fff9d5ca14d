"""What other tools hold after `fapo export`, read back with their own libraries and protocols."""

from __future__ import annotations

import http.server
import json
import shutil
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from wandb.proto import wandb_internal_pb2

from fapo.tracking import names
from tests.support.command import Done, fapo

SECRET = "Choose the team"
"""Words of a prompt of the pipeline."""


@pytest.fixture(scope="module")
def store(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of an MLflow store to which the run was exported twice."""
    uri = (tmp_path_factory.mktemp("mlflow") / "mlruns").as_uri()
    for _ in range(2):
        done = to_mlflow(finished, uri)
        assert done.code == 0, done.err
    return uri


def to_mlflow(run: Path, uri: str) -> Done:
    return fapo(run.parents[1], "export", run, "--to", "mlflow", "--uri", uri, MLFLOW_ALLOW_FILE_STORE="true")


def runs_of(uri: str, monkeypatch: pytest.MonkeyPatch) -> tuple[MlflowClient, dict[str, Run]]:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("fapo/prompt_suffices")
    assert experiment is not None
    return client, {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def test_mlflow_has_a_parent_and_a_child_for_each_variant_and_a_second_export_adds_none(
    finished: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, runs = runs_of(store, monkeypatch)
    name = finished.name
    assert set(runs) == {name, f"{name}-000", f"{name}-001"}
    parent, child = runs[name], runs[f"{name}-001"]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.tags[names.VERDICT] == "accepted"
    assert child.data.metrics[names.VALIDATION_MEAN] == 1.0
    assert parent.data.metrics[names.TEST_GAIN] == 1.0
    assert parent.data.params["model.task"] == "standin/reader"
    assert "stand-in" in parent.data.tags[names.NOTE]
    files = {each.path for each in client.list_artifacts(parent.info.run_id)}
    assert {"report.md", "best.patch", "journal.jsonl"} <= files
    prompts = client.list_artifacts(child.info.run_id, "pipeline/prompts")
    assert {Path(each.path).suffix for each in prompts} == {".md"}


def test_what_an_interrupted_export_left_in_mlflow_is_written_anew(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "mlruns").as_uri()
    client = MlflowClient(uri)
    home = client.create_experiment("fapo/prompt_suffices")
    client.create_run(home, tags={names.RUN: finished.name}, run_name="torn")
    assert to_mlflow(finished, uri).code == 0
    _, runs = runs_of(uri, monkeypatch)
    assert "torn" not in runs
    assert runs[finished.name].info.status == "FINISHED"


def records_of(file: Path) -> Iterator[Any]:
    """The records of wandb's offline log: that of LevelDB, blocks of 32 KiB after a header of 7 bytes."""
    raw, place, parts = file.read_bytes(), 7, b""
    while place + 7 <= len(raw):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        size, kind = struct.unpack_from("<HB", raw, place + 4)
        parts += raw[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):
            record: Any = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
            record.ParseFromString(parts)
            yield record
            parts = b""


def test_wandb_has_a_step_for_each_variant_offline(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / finished.name
    shutil.copytree(finished, run)
    done = fapo(tmp_path, "export", run, "--to", "wandb", "--offline")
    assert done.code == 0, done.err
    records = list(records_of(next(run.glob("wandb/offline-run-*/*.wandb"))))
    rows = [{item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            for record in records if record.WhichOneof("record_type") == "history"]  # fmt: skip
    assert [row[names.VALIDATION_MEAN] for row in rows if names.VALIDATION_MEAN in row] == [0.0, 1.0]
    begun = next(record.run for record in records if record.WhichOneof("record_type") == "run")
    assert (begun.display_name, begun.project) == (finished.name, "fapo-prompt_suffices")
    assert any(record.WhichOneof("record_type") == "artifact" for record in records) or any(
        record.request.HasField("log_artifact") for record in records
    )


class Collector(http.server.ThreadingHTTPServer):
    """An OTLP endpoint on the loopback interface that keeps the spans that it gets."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Span] = []
        self.status = 200


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        request = ExportTraceServiceRequest()
        request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def send(run: Path, collector: Collector, *options: str) -> Done:
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    return fapo(run.parents[1], "export", run, "--to", "otel", "--endpoint", endpoint, *options)


def attributes(span: Span) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def test_cases_steps_sessions_and_variants_are_spans_and_texts_stay_out(finished: Path, collector: Collector) -> None:
    done = send(finished, collector)
    assert done.code == 0, done.err
    spans = collector.spans
    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == len(spans), "no two spans share an id"
    calls = [span for span in spans if attributes(span).get(names.OPERATION) == "chat"]
    assert calls
    for call in calls:
        seen = attributes(call)
        assert (seen[names.REQUEST_MODEL], seen[names.PROVIDER]) == ("reader", "standin")
        assert seen[names.INPUT_TOKENS] > 0
        root = by_id[call.parent_span_id]
        assert root.trace_id == call.trace_id
        assert root.start_time_unix_nano <= call.start_time_unix_nano <= call.end_time_unix_nano
        assert [event.name for event in root.events] == [names.EVALUATION]
    cases = {(attributes(by_id[call.parent_span_id])[names.VARIANT]) for call in calls}
    assert cases == {"000", "001"}
    assert {attributes(by_id[call.parent_span_id])[names.SPLIT] for call in calls} == {"validation"}
    variant = next(span for span in spans if span.name == "variant 001")
    assert attributes(variant)[names.VERDICT] == "accepted"
    assert by_id[variant.parent_span_id].name == "fapo optimize"
    session = next(span for span in spans if span.name.startswith("invoke_agent"))
    assert attributes(session)[names.STATUS] in ("finished", "stopped")
    assert SECRET.encode() not in b"".join(span.SerializeToString() for span in spans)


def test_the_same_spans_are_sent_again_and_texts_where_they_are_asked_for(finished: Path, collector: Collector) -> None:
    evaluation = finished / "evaluations" / "000-validation"
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    for _ in range(2):
        done = fapo(finished.parents[1], "export", evaluation, "--to", "otel", "--endpoint", endpoint, "--content")
        assert done.code == 0, done.err
    half = len(collector.spans) // 2
    first, second = collector.spans[:half], collector.spans[half:]
    assert [span.span_id for span in first] == [span.span_id for span in second]
    call = next(span for span in first if attributes(span).get(names.OPERATION) == "chat")
    messages = json.loads(attributes(call)[names.INPUT_MESSAGES])
    assert messages[-1]["role"] == "user"
    assert messages[-1]["parts"][0]["content"]


def test_an_endpoint_that_refuses_is_one_line(finished: Path, collector: Collector) -> None:
    collector.status = 401
    done = send(finished, collector)
    assert done.code == 3
    assert done.err.strip().splitlines() == [done.err.strip()]
    assert "OTEL_EXPORTER_OTLP_HEADERS" in done.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--to", "wandb", "--uri", "x"), "belongs to --to mlflow"),
        (("--to", "wandb"), "--offline"),
        (("--to", "otel", "--experiment", "x"), "belongs to --to mlflow"),
    ],
)
def test_options_of_another_target_and_a_missing_login_are_refused(
    finished: Path, options: tuple[str, ...], words: str
) -> None:
    done = fapo(finished.parents[1], "export", finished, *options)
    assert done.code == 2
    assert words in done.err


def test_a_run_that_is_not_finished_is_refused(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / finished.name
    shutil.copytree(finished, run)
    journal = run / "journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:3]))
    done = to_mlflow(run, (tmp_path / "mlruns").as_uri())
    assert done.code == 2
    assert "is not finished" in done.err
