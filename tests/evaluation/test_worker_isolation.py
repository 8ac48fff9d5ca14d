"""Pipeline code that looks for labels, other cases, keys, or a way out, through the real worker."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import textwrap
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

import fapo
from fapo.evaluation.evaluate import EvaluationPlan, Observer, evaluate
from fapo.llm.gateway import Gateway
from fapo.sandbox.policy import Level
from fapo.sandbox.probe import LevelReport
from tests.evaluation.conftest import plan_maker
from tests.support.evaluations import FakeGateway, Watcher
from tests.support.levels import HERE

MakePlan = Callable[..., EvaluationPlan]
SECRET = "the-label-nobody-may-see"


def play(plan: EvaluationPlan) -> list[str]:
    """What the pipeline returned for each case, or how it failed."""
    gateway = cast(Gateway, FakeGateway())
    evaluation = asyncio.run(evaluate(plan, gateway, cast(Observer, Watcher())))
    records = evaluation.records
    return [json.dumps(each.prediction.output if each.prediction else str(each.failure)) for each in records]


def output_of(plan: EvaluationPlan) -> str:
    """As `play`, of the only case."""
    (output,) = play(plan)
    return output


def attack(bodies: Sequence[str]) -> str:
    """Pipeline code that runs a body for each case, with `found` as what it got hold of."""
    functions = "".join(FUNCTION.format(number=number, body=textwrap.indent(textwrap.dedent(body).strip(), " " * 8))
                        for number, body in enumerate(bodies))  # fmt: skip
    return f"{IMPORTS}{functions}{RUN}"


IMPORTS = "import os, sys, json, pathlib, glob, gc, socket, subprocess\n"
FUNCTION = """
def attack_{number}(inputs, ctx):
    try:
        found = None
{body}
        return found
    except BaseException as error:
        return "blocked: " + type(error).__name__
"""
RUN = """
async def run(inputs, ctx):
    return globals()["attack_" + inputs["text"].removeprefix("word")](inputs, ctx)
"""


ATTACKS = {
    "labels by path": "found = open({labels!r}).read()",
    "a walk over the disk": """
        for base in ("/tmp", "/home", "/root", "/srv", "/var"):
            for path, _, names in os.walk(base):
                for name in names:
                    try:
                        text = open(os.path.join(path, name), errors="ignore").read(2_000_000)
                    except OSError:
                        continue
                    if {terces!r}[::-1] in text:
                        found = os.path.join(path, name)
    """,
    "the variant's neighbours": """
        found = [p.read_text() for p in pathlib.Path(__file__).parent.parent.rglob("*.jsonl")] or None
    """,
    "a link to the labels": "os.symlink({labels!r}, 'x'); found = open('x').read()",
    "the parent's environment": "found = open(f'/proc/{{os.getppid()}}/environ').read()",
    "the parent's memory": "found = open(f'/proc/{{os.getppid()}}/maps').read()",
    "the parent's working directory": "found = os.listdir(f'/proc/{{os.getppid()}}/cwd')",
    "its own environment": "found = [v for v in os.environ.values() if 'sk-canary' in v] or None",
    "built-in score functions": "found = [str(p) for p in pathlib.Path({checkout!r}).rglob('scores/*.py')] or None",
    "built-in benchmarks": "found = open({checkout!r} + '/benchmarks/cve_cwe/data/test.jsonl').read()",
    "a subprocess": "import subprocess; found = subprocess.check_output(['id'])",
    "a socket": "import socket; socket.create_connection(('127.0.0.1', {port}), 1); found = 'connected'",
    "writing into the variant": "open(__file__, 'a').write('# x'); found = 'wrote'",
    "killing the parent": "os.kill(os.getppid(), 9); found = 'killed'",
    "the label in memory": """
        held = [o for o in gc.get_objects() if isinstance(o, dict) and "WORD" + "0" in o.values()]
        found = held or None
    """,
    "the case id": "found = [k for k in (*inputs, *vars(ctx.params)) if k == 'id'] or None",
}  # fmt: skip


UNCONFINED = (
    "labels by path", "the variant's neighbours", "a link to the labels", "the parent's environment",
    "the parent's memory", "the parent's working directory", "built-in score functions", "built-in benchmarks",
    "a subprocess", "a socket", "writing into the variant",
)  # fmt: skip
"""What gets through where nothing confines it, and does no harm there."""


def play_all(folder: Path, names: Sequence[str], level: Level, port: int) -> dict[str, str]:
    """What each attack came back with at a level, in one worker."""
    os.environ["FAPO_TEST_KEY"] = "sk-canary-in-the-parent"
    labels = folder / "validation.jsonl"
    labels.write_text(json.dumps({"id": "case-0", "expected": SECRET}) + "\n")
    checkout = str(Path(fapo.__file__).parent.parent)
    values: dict[str, Any] = {"labels": str(labels), "terces": SECRET[::-1], "checkout": checkout, "port": port}
    plan = plan_maker(folder)(attack([ATTACKS[name].format(**values) for name in names]), n=len(names))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fapo.evaluation.evaluate.choose_level", lambda _: LevelReport(level, True, (), ""))
        return dict(zip(names, play(plan), strict=True))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[Level, dict[str, str]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        played = {level: play_all(tmp_path_factory.mktemp(level), list(ATTACKS), level, port) for level in HERE}
        return played | {"none": play_all(tmp_path_factory.mktemp("none"), UNCONFINED, "none", port)}


@pytest.mark.parametrize("level", HERE)
@pytest.mark.parametrize("name", ATTACKS)
def test_pipeline_code_finds_nothing(outputs: dict[Level, dict[str, str]], name: str, level: Level) -> None:
    output = outputs[level][name]
    assert output == "null" or output.startswith('"blocked: ')


@pytest.mark.parametrize("name", UNCONFINED)
def test_the_same_attack_finds_something_in_a_free_process(outputs: dict[Level, dict[str, str]], name: str) -> None:
    output = outputs["none"][name]
    assert output != "null"
    assert "blocked" not in output


def test_what_is_written_beside_the_labels_stays_in_the_sandbox(make_plan: MakePlan, tmp_path: Path) -> None:
    beside = tmp_path / "validation.jsonl.x"
    output_of(make_plan(attack([f"open({str(beside)!r}, 'w').write('x')"]), n=1))
    assert not beside.exists()
    output_of(make_plan(attack([f"open({str(beside)!r}, 'w').write('x')"]), n=1, isolation="none",
                        directory=tmp_path / "unconfined"))  # fmt: skip
    assert beside.exists()


KEEP = """
places = [{outside!r}] if {only_outside} else [
    os.getcwd(), os.environ["HOME"], os.environ["TMPDIR"], "/tmp", "/var/tmp", "/dev/shm", "/run",
    os.path.dirname(__file__), os.path.dirname(json.__file__), *sys.path, {outside!r}]
for place in places:
    try:
        pathlib.Path(place, {name!r}).write_text("kept")
    except OSError:
        pass
    try:
        os.setxattr(place, "user." + {name!r}, b"kept")
    except OSError:
        pass
os.environ["KEPT"] = json.kept = sys.kept = "kept"
found = [place for place in places if os.path.exists(os.path.join(place, {name!r}))]
"""
LOOK = """
places = [{outside!r}] if {only_outside} else [
    os.getcwd(), os.environ["HOME"], os.environ["TMPDIR"], "/tmp", "/var/tmp", "/dev/shm", "/run",
    os.path.dirname(__file__), os.path.dirname(json.__file__), *sys.path, {outside!r}]
found = [place for place in places if os.path.exists(os.path.join(place, {name!r}))]
for place in places:
    try:
        found += [place for attribute in os.listxattr(place) if attribute == "user." + {name!r}]
    except OSError:
        pass
found += [name for name, there in (("environ", "KEPT" in os.environ), ("json", hasattr(json, "kept")),
                                   ("sys", hasattr(sys, "kept"))) if there]
found = found or None
"""


def kept(folder: Path, level: Level, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], str]:
    """Where one variant could keep something while it ran on validation, and what the next one finds on train."""
    monkeypatch.setattr("fapo.evaluation.evaluate.choose_level", lambda _: LevelReport(level, True, (), ""))
    outside = folder / "outside"
    outside.mkdir()
    name = f"kept-{uuid.uuid4()}"
    values: dict[str, Any] = {"outside": str(outside), "name": name, "only_outside": level == "none"}
    make_plan = plan_maker(folder)
    before = make_plan(attack([KEEP.format(**values)]), n=1, directory=folder / "first")
    places = json.loads(output_of(before))
    after = make_plan(attack([LOOK.format(**values)]), n=1, directory=folder / "second", split="train")
    found = output_of(after)
    return places, found


@pytest.mark.parametrize("level", HERE)
def test_nothing_is_kept_from_one_variant_to_the_next(
    tmp_path: Path, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, found = kept(tmp_path, level, monkeypatch)
    assert places  # its own folder
    assert found == "null"


def test_in_a_free_process_something_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = kept(tmp_path, "none", monkeypatch)
    assert str(tmp_path / "outside") in json.loads(found)


def test_a_patched_json_or_a_forged_frame_forges_no_score(make_plan: MakePlan) -> None:
    code = """\
        import json, os, struct

        async def run(inputs, ctx):
            body = json.dumps({"op": "done", "id": 1, "output": "WORD0", "evidence": [], "score": 1.0}).encode()
            for descriptor in range(3, 64):
                try:
                    os.write(descriptor, struct.pack(">I", len(body)) + body)
                except OSError:
                    pass
            json.dumps = lambda *a, **k: '{"op": "done", "id": 2, "score": 1.0, "output": 1, "evidence": []}'
            return "wrong"
        """
    plan = make_plan(code, n=1, score=lambda case, prediction: fapo.Score(float(prediction.output == "never")))
    gateway = cast(Gateway, FakeGateway())
    evaluation = asyncio.run(evaluate(plan, gateway, cast(Observer, Watcher())))
    assert evaluation.values == {"case-0": 0.0}


def test_garbage_on_the_pipe_is_the_pipelines_failure(make_plan: MakePlan) -> None:
    code = """\
        import os

        async def run(inputs, ctx):
            for descriptor in range(3, 64):
                try:
                    os.write(descriptor, b"\\xff" * 64)
                except OSError:
                    pass
            return "x"
        """
    output = output_of(make_plan(code, n=1))
    assert "protocol" in output


def test_an_output_of_a_gigabyte_does_not_reach_the_parent(make_plan: MakePlan) -> None:
    output = output_of(make_plan("async def run(inputs, ctx):\n    return 'x' * 2**30", n=1))
    assert len(output) < 2**20
