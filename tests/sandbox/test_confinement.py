"""A confined process against attacks, each of which works in an unconfined one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fapo.sandbox.policy import runtime_paths
from fapo.sandbox.seccomp import build_filter

SETUP = """
import ctypes, json, os, resource, signal, socket, subprocess, sys, tempfile, threading
from pathlib import Path
import bm25s, jinja2, numpy  # what pipelines use is found before and after
from fapo.sandbox.confine import confine
from fapo.sandbox.policy import Policy, runtime_paths

base = Path(sys.argv[1])
if sys.argv[2] == "confined":
    readable = (base / "variant", *runtime_paths())
    confine(Policy(read=readable, write=(base / "scratch",), memory_bytes=2**30, file_bytes=2**20))
os.chdir("/")
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

try:
{body}
    print(json.dumps("done"))
except BaseException as error:
    print(json.dumps(f"{{type(error).__name__}}: {{error}}"))
"""

ATTACKS = {
    "read a held-out file": "(base / 'held_out').read_text()",
    "read it through a link": "os.symlink(base / 'held_out', base / 'scratch/l'); (base / 'scratch/l').read_text()",
    "hard-link it": "os.link(base / 'held_out', base / 'scratch/h'); (base / 'scratch/h').read_text()",
    "move it": "os.rename(base / 'held_out', base / 'scratch' / 'm')",
    "list a folder outside": "os.listdir(base)",
    "read /etc/passwd": "open('/etc/passwd').read()",
    "read the parent's environment": "open(f'/proc/{os.getppid()}/environ').read()",
    "read the parent's memory map": "open(f'/proc/{os.getppid()}/maps').read()",
    "go through the parent's root": "open(f'/proc/{os.getppid()}/root/etc/passwd').read()",
    "list processes": "os.listdir('/proc')",
    "write outside": "(base / 'new').write_text('x')",
    "write into the variant": "(base / 'variant' / 'pipeline.py').write_text('x')",
    "delete from the variant": "(base / 'variant' / 'pipeline.py').unlink()",
    "truncate a file outside": "os.truncate(base / 'held_out', 0)",
    "change the mode of a file outside": "os.chmod(base / 'held_out', 0o777)",
    "change the times of a file outside": "os.utime(base / 'held_out', (0, 0))",
    "connect by TCP": "socket.create_connection(('127.0.0.1', int(sys.argv[3])), 5)",
    "send by UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
    "open a unix socket": "socket.socket(socket.AF_UNIX)",
    "open a netlink socket": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "listen": "socket.create_server(('127.0.0.1', 0))",
    "run a program": "subprocess.run(['/bin/true'], check=True)",
    "fork": "os._exit(0) if os.fork() == 0 else os.wait()",
    "signal the parent": "os.kill(os.getppid(), 0)",
    "signal the parent's group": "os.killpg(os.getpgid(os.getppid()), 0)",
    "open a handle on the parent": "os.pidfd_open(os.getppid())",
    "limit the parent": "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)",
    "trace itself": "call(101, 0, 0, 0, 0)",
    "make a user namespace": "call(272, 0x10000000)",
    "set up io_uring": "call(425, 4, ctypes.create_string_buffer(256))",
    "write a large file": "(base / 'scratch' / 'big').write_bytes(b'x' * 2**21)",
    "take much memory": "bytearray(2**31)",
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "variant").mkdir()
    (tmp_path / "scratch").mkdir()
    (tmp_path / "variant" / "pipeline.py").write_text("x = 1\n")
    (tmp_path / "held_out").write_text("label")
    return tmp_path


def attempt(base: Path, body: str, mode: str, port: int = 0) -> str:
    code = SETUP.format(body=textwrap.indent(textwrap.dedent(body), "    "))
    command = [sys.executable, "-c", code, str(base), mode, str(port)]
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(base / "scratch"), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.stdout, done.stderr
    return str(json.loads(done.stdout))


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_fails_in_a_confined_process_and_works_in_a_free_one(base: Path, attack: str, listener: int) -> None:
    confined = attempt(base, ATTACKS[attack], "confined", listener)
    assert confined.startswith(("PermissionError", "OSError", "MemoryError")), confined
    for path in (base / "scratch").iterdir():
        path.unlink()
    assert attempt(base, ATTACKS[attack], "free", listener) == "done"


@pytest.mark.parametrize(
    "work",
    [
        "(base / 'scratch' / 'x').write_text('ok'); assert (base / 'scratch' / 'x').read_text() == 'ok'",
        "assert (base / 'variant' / 'pipeline.py').read_text()",
        "t = threading.Thread(target=print, args=('',), kwargs={'file': sys.stderr}); t.start(); t.join()",
        "import asyncio; asyncio.run(asyncio.sleep(0))",
        "import asyncio, time; asyncio.run(asyncio.to_thread(time.monotonic))",
        "assert numpy.linalg.norm(numpy.ones((200, 200)) @ numpy.ones((200, 200))) > 0",
        "tempfile.TemporaryFile().write(b'x')",
        "assert jinja2.Template('{{ x }}').render(x=1) == '1'",
        "import sqlite3; sqlite3.connect(base / 'scratch' / 'db').execute('create table t (x)')",
        "import zoneinfo, datetime; datetime.datetime.now(zoneinfo.ZoneInfo('Europe/Oslo'))",
        "import random, secrets; secrets.token_hex()",
        """
        index = bm25s.BM25()
        index.index(bm25s.tokenize(['red apple', 'green pear'], show_progress=False), show_progress=False)
        found, _ = index.retrieve(bm25s.tokenize(['pear'], show_progress=False), k=1, show_progress=False)
        assert found[0][0] == 1
        """,
        "import Stemmer, rapidfuzz, yaml, decimal, statistics",
    ],
)
def test_ordinary_work_goes_on_in_a_confined_process(base: Path, work: str) -> None:
    assert attempt(base, work, "confined") == "done"


def test_a_new_module_can_be_imported_after_confinement(base: Path) -> None:
    assert attempt(base, "import xml.dom.minidom, scipy.stats", "confined") == "done"


def test_confinement_cannot_be_undone(base: Path) -> None:
    body = "confine(Policy(read=(Path('/'),), write=(Path('/'),))); (base / 'held_out').read_text()"
    assert attempt(base, body, "confined").startswith("PermissionError")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_an_ordinary_user_is_confined_too(base: Path) -> None:
    os.chmod(base, 0o755)
    body = "os.setuid(65534); (base / 'held_out').read_text()"
    assert attempt(base, body, "confined").startswith("PermissionError")


def test_the_filter_has_a_table_for_each_supported_machine() -> None:
    for machine in ("x86_64", "aarch64"):
        program = build_filter(machine, 42)
        assert len(program) % 8 == 0
        assert len(program) // 8 < 4096


def test_a_worker_reads_no_home_and_no_checkout() -> None:
    readable = {str(path) for path in runtime_paths()}
    checkout = str(Path(__file__).parents[2])
    assert str(Path.home()) not in readable
    assert checkout not in readable
    assert not readable & {"/", "/etc", "/proc", "/home", "/root", "/tmp"}
