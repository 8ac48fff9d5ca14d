"""Pipeline code that looks for labels, other cases, keys, or a way out, through the real worker."""

from __future__ import annotations

import asyncio
import json
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

import fapo
from fapo.evaluation.evaluate import EvaluationPlan, Observer, evaluate
from fapo.llm.gateway import Gateway
from tests.support.evaluations import FakeGateway, Watcher

MakePlan = Callable[..., EvaluationPlan]
SECRET = "the-label-nobody-may-see"


def output_of(plan: EvaluationPlan) -> str:
    """What the pipeline returned for its one case, or how it failed."""
    gateway = cast(Gateway, FakeGateway())
    evaluation = asyncio.run(evaluate(plan, gateway, cast(Observer, Watcher())))
    record = evaluation.records[0]
    return json.dumps(record.prediction.output if record.prediction else str(record.failure))


def attack(body: str) -> str:
    """Pipeline code that runs `body`, with `found` as what it got hold of."""
    return "import os, sys, json, pathlib, glob, gc\nfound = None\n" + textwrap.dedent(
        """\
        async def run(inputs, ctx):
            try:
                found = None
        {body}
                return found
            except BaseException as error:
                return "blocked: " + type(error).__name__
        """
    ).replace("{body}", textwrap.indent(textwrap.dedent(body).strip(), " " * 8))


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


@pytest.mark.parametrize("name", ATTACKS)
def test_pipeline_code_finds_nothing(make_plan: MakePlan, tmp_path: Path, name: str, listener: int) -> None:
    os.environ["FAPO_TEST_KEY"] = "sk-canary-in-the-parent"
    labels = tmp_path / "validation.jsonl"
    labels.write_text(json.dumps({"id": "case-0", "expected": SECRET}) + "\n")
    checkout = str(Path(fapo.__file__).parent.parent)
    values: dict[str, Any] = {"labels": str(labels), "terces": SECRET[::-1], "checkout": checkout, "port": listener}
    output = output_of(make_plan(attack(ATTACKS[name].format(**values)), n=1))
    assert output == "null" or output.startswith('"blocked: ')


def test_what_is_written_beside_the_labels_stays_in_the_sandbox(make_plan: MakePlan, tmp_path: Path) -> None:
    beside = tmp_path / "validation.jsonl.x"
    output_of(make_plan(attack(f"open({str(beside)!r}, 'w').write('x')"), n=1))
    assert not beside.exists()
    output_of(make_plan(attack(f"open({str(beside)!r}, 'w').write('x')"), n=1, isolation="none",
                        directory=tmp_path / "unconfined"))  # fmt: skip
    assert beside.exists()


def test_the_attacks_would_find_something_without_confinement(make_plan: MakePlan, tmp_path: Path) -> None:
    labels = tmp_path / "validation.jsonl"
    labels.write_text(SECRET)
    code = attack(ATTACKS["labels by path"].format(labels=str(labels)))
    assert SECRET in output_of(make_plan(code, n=1, isolation="none"))


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
