"""How long `fapo ui` takes with an evaluation of many cases: reading it in, and then each page.

`python bench/ui.py [--cases 50000]` writes traces as `fapo eval quickstart` does, starts the server, and asks it over
HTTP. Times are of whole answers, seconds; CPU is the server's for one answer, so that it says something on a busy
machine, too; memory is the server's largest resident set.
"""

from __future__ import annotations

import argparse
import http.cookiejar
import json
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import psutil

from fapo.config import EvalConfig
from fapo.data import find_builtin, split_digest
from fapo.evaluation.evaluate import Manifest
from fapo.evaluation.project import load_project
from fapo.evaluation.request import EvaluationRequest, write_cases, write_request
from fapo.records import Case, CaseRecord, Prediction, Score, Step, Usage
from fapo.store.files import to_json

_CITIES = ("Tartu", "Porto", "Gdansk", "Aarhus", "Ghent", "Turku", "Graz", "Malmo")
_RULES = " ".join(["Read the notice word by word, weigh the evidence, and answer with one JSON object."] * 12)


def make_cases(count: int) -> Iterator[tuple[Case, CaseRecord]]:
    """Cases of one field more or less wrong, two steps each, some 3 kB a record; equal for equal counts."""
    draw = random.Random(0)  # noqa: S311
    for number in range(count):
        city, order = draw.choice(_CITIES), f"K-{draw.randrange(10_000):04d}"
        notice = f"Order {order} of {draw.randrange(1, 90)} shelves is to be shipped to the city of {city}. " * 4
        right = draw.random() < 0.7
        found = {"order_id": order, "city": city if right else draw.choice(_CITIES)}
        reply = f"Here is what was found:\n{json.dumps(found, indent=2)}"
        messages = [{"role": "system", "content": _RULES}, {"role": "user", "content": notice}]
        usage = Usage(1, 0, 400, 30, 0.0004)
        steps = (
            Step("extract", "llm", {"variables": {"notice": notice}, "messages": messages}, reply, 0.0,
                 0.2 + draw.random(), "made/up", usage, "stop"),
            Step("parse_reply", "function", {"args": [reply], "kwargs": {}}, found, 1.3, 0.001),
        )  # fmt: skip
        value = 1.0 if found["city"] == city else 0.5
        case = Case(f"notice-{number:06d}", {"notice": notice}, {"order_id": order, "city": city})
        score = Score(value, {"city": value}, "" if value == 1 else f"city is {found['city']}")
        yield case, CaseRecord(case.id, 0, steps, Prediction(found), score, None, steps[0].duration_s + 0.1)


def write_evaluation(folder: Path, name: str, count: int) -> int:
    """An evaluation as `fapo eval` leaves it, labels at hand; returns the bytes of its traces."""
    source, directory = folder / "made_up", folder / "runs" / name
    builtin = find_builtin("pipelines", "quickstart")
    assert builtin is not None
    if not source.exists():
        shutil.copytree(builtin, source)
        with (source / "data" / "validation.jsonl").open("w") as data:
            for case, _ in make_cases(count):
                data.write(json.dumps({"id": case.id, "inputs": case.inputs, "expected": case.expected}) + "\n")
    shutil.copytree(source, directory / "pipeline")
    project = load_project(source)
    cases = project.cases("validation")
    write_request(directory, EvaluationRequest(source, EvalConfig.model_validate({})))
    write_cases(directory, cases, None)
    manifest = Manifest("quickstart", "quickstart", "0", "validation", split_digest(cases), project.score.name,
                        project.score.digest, 1, {"task": "made/up"})  # fmt: skip
    (directory / "evaluation.json").write_bytes(to_json(manifest))
    with (directory / "traces.jsonl").open("wb") as traces:
        for _, record in make_cases(count):
            traces.write(to_json(record) + b"\n")
    return (directory / "traces.jsonl").stat().st_size


@dataclass(frozen=True)
class Row:
    """What was asked: median and largest time of an answer, and the server's CPU for one, seconds."""

    what: str
    median_s: float
    largest_s: float
    cpu_s: float


class Client:
    """Asks one server, and notes how long each kind of page takes."""

    def __init__(self, url: str, server: psutil.Process) -> None:
        self._server = server
        self._base = url.split("/?")[0]
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)
        self._opener.open(url).read()

    def get(self, path: str, **parameters: object) -> str:
        given = {name: value for name, value in parameters.items() if value is not None}
        answer = self._opener.open(f"{self._base}{path}?{urlencode(given)}", timeout=120)
        return str(answer.read().decode())

    def timed(self, what: str, path: str, *, times: int = 7, **parameters: object) -> Row:
        """Several equal questions."""
        taken, before = [], self._cpu()
        for _ in range(times):
            begun = time.perf_counter()
            self.get(path, **parameters)
            taken.append(time.perf_counter() - begun)
        return Row(what, statistics.median(taken), max(taken), (self._cpu() - before) / times)

    def until_gone(self, what: str, path: str, words: str) -> Row:
        """One question again and again, until the answer has no such words any more."""
        begun, before = time.perf_counter(), self._cpu()
        while words in self.get(path):
            continue
        taken = time.perf_counter() - begun
        return Row(what, taken, taken, self._cpu() - before)

    def _cpu(self) -> float:
        used = self._server.cpu_times()
        return float(used.user + used.system)


def measure(client: Client, count: int) -> Iterator[Row]:
    """What one who looks into an evaluation asks, one after the other."""
    at, cases, figures = "/evaluation/big", "/part/cases/big", "/part/figures/big"
    yield client.timed("first answer, nothing known", at, times=1)
    yield client.until_gone("all traces read in", figures, "reading traces")
    yield client.until_gone("all failing cases judged", figures, "data-indexing")
    yield client.timed("evaluation page", at)
    yield client.timed("next 100 rows", cases, start=100)
    yield client.timed("the last 100 rows", cases, start=max(0, count - 100))
    yield client.timed("lowest score first", cases, sort="lowest score")
    yield client.timed("slowest first", cases, sort="slowest")
    yield client.timed("failing, by blamed step", cases, state="failing", step="extract")
    yield client.timed("text search, many hits", cases, q="gdansk")
    yield client.timed("text search, no hit", cases, q="no such words")
    yield client.timed("one trace", "/part/trace/big", case=f"notice-{count - 1:06d}")
    client.until_gone("", "/part/figures/other", "reading traces")
    yield client.timed("list of runs", "/")
    yield client.timed("compare two, first", "/compare", times=1, a="other", b="big")
    yield client.timed("compare two, again", "/compare", a="other", b="big")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=50_000)
    count = parser.parse_args().cases
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = write_evaluation(folder, "big", count)
        write_evaluation(folder, "other", count)
        environment = os.environ | {"FAPO_CACHE_DIR": str(folder / "cache")}
        command = [sys.executable, "-m", "fapo.cli", "ui", "--runs", str(folder / "runs"), "--no-open"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert server.stdout is not None
        try:
            url = re.search(r"http\S+", server.stdout.readline())
            assert url is not None
            rows = list(measure(Client(url[0], psutil.Process(server.pid)), count))
        finally:
            server.terminate()
            server.wait()
        index = sum(path.stat().st_size for path in (folder / "cache").glob("traces.sqlite*"))
    print(f"{count:,} cases, {size / 1e6:.0f} MB of traces; index {index / 1e6:.0f} MB for two evaluations; "
          f"server {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MB")  # fmt: skip
    print("\n| what | median s | largest s | CPU s |\n|---|--:|--:|--:|")
    for row in rows:
        print(f"| {row.what} | {row.median_s:.3f} | {row.largest_s:.3f} | {row.cpu_s:.3f} |")


if __name__ == "__main__":
    main()
