"""What pipelines do all day goes on in a sandbox."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fapo.sandbox.policy import Level, Policy, runtime_paths
from fapo.sandbox.probe import CONFINING
from tests.sandbox.attacks import run_code
from tests.support.levels import HERE

WORK = {
    "write and read": "(scratch / 'x').write_text('ok'); assert (scratch / 'x').read_text() == 'ok'",
    "read the variant": "assert (variant / 'pipeline.py').read_text()",
    "write to the null device": "open(os.devnull, 'w').write('x')",
    "a thread": "t = threading.Thread(target=list); t.start(); t.join()",
    "an event loop": "asyncio.run(asyncio.sleep(0)); asyncio.run(asyncio.to_thread(list))",
    "a pool of threads": "from concurrent.futures import ThreadPoolExecutor as P; list(P(16).map(str, range(64)))",
    "numbers": "import numpy; assert numpy.linalg.norm(numpy.ones((200, 200)) @ numpy.ones((200, 200))) > 0",
    "statistics": "import scipy.stats; scipy.stats.norm.cdf(0.0)",
    "a temporary file": "tempfile.TemporaryFile(dir=scratch).write(b'x')",
    "a template": "import jinja2; assert jinja2.Template('{{ x }}').render(x=1) == '1'",
    "a database": "import sqlite3; sqlite3.connect(scratch / 'db').execute('create table t (x)')",
    "a time zone": "import zoneinfo, datetime; datetime.datetime.now(zoneinfo.ZoneInfo('Europe/Oslo'))",
    "random numbers": "import random, secrets; secrets.token_hex(); random.random()",
    "secure connections": "import ssl; ssl.create_default_context()",
    "retrieval": """
import bm25s
index = bm25s.BM25()
index.index(bm25s.tokenize(["red apple", "green pear"], show_progress=False), show_progress=False)
found, _ = index.retrieve(bm25s.tokenize(["pear"], show_progress=False), k=1, show_progress=False)
assert found[0][0] == 1
""",
    "modules": "import Stemmer, rapidfuzz, yaml, decimal, statistics, xml.dom.minidom",
}

WORKER = """
import asyncio, json, os, sys, tempfile, threading, traceback
from pathlib import Path
from fapo.sandbox.confine import confine
from fapo.sandbox.policy import Policy, runtime_paths

order = json.loads(sys.stdin.read())
variant, scratch = Path(order["variant"]), Path(order["scratch"])
confine(Policy(read=(variant, *runtime_paths()), write=(scratch,)), order["level"])
done = []
for body in order["bodies"]:
    try:
        exec(body)
        done.append("done")
    except BaseException:
        done.append(traceback.format_exc())
print(json.dumps(done))
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[Level, dict[str, str]]:
    """How each piece of work ended at each level."""
    outcomes = {}
    for level in HERE:
        base = tmp_path_factory.mktemp(level)
        variant, scratch = base / "variant", base / "scratch"
        variant.mkdir()
        scratch.mkdir()
        (variant / "pipeline.py").write_text("x = 1\n")
        order = {"level": level, "variant": str(variant), "scratch": str(scratch), "bodies": list(WORK.values())}
        policy = Policy(read=(variant, *runtime_paths()), write=(scratch,))
        outcomes[level] = dict(
            zip(WORK, json.loads(run_code(WORKER, policy, level, said=json.dumps(order))), strict=True)
        )
    return outcomes


@pytest.mark.parametrize("level", CONFINING)
@pytest.mark.parametrize("work", WORK)
def test_ordinary_work_goes_on(done: dict[Level, dict[str, str]], level: Level, work: str) -> None:
    assert done[level][work] == "done"


def test_a_worker_reads_no_home_and_no_checkout() -> None:
    readable = {str(path) for path in runtime_paths()}
    checkout = str(Path(__file__).parents[2])
    assert str(Path.home()) not in readable
    assert checkout not in readable
    assert not readable & {"/", "/etc", "/proc", "/home", "/root", "/tmp"}
