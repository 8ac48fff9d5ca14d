"""The throughput benchmark counts each call and reports each driver, whatever the machine's speed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.drive import BadRun, Driver, Load, drive, find_peers
from bench.loopback import Server, running_server
from bench.throughput import too_slow
from bench.work import STEPS, cases, messages, reply_to, score

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as found:
        yield found


@pytest.fixture(scope="module")
def printed() -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "bench" / "throughput.py"), "--json", "--peers", "aiohttp", "--cases", "8"]
    settings = ["--latency-ms", "5", "--concurrency", "4", "--rounds", "1"]
    done = subprocess.run([*command, *settings], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def request(text: str) -> bytes:
    body = json.dumps({"model": "bench", "messages": messages("gist", text)}).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def read_replies(sock: socket.socket, count: int) -> list[str]:
    found = []
    with sock.makefile("rb") as stream:
        for _ in range(count):
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            headers = dict(line.decode().strip().split(": ") for line in iter(stream.readline, b"\r\n"))
            reply = json.loads(stream.read(int(headers["Content-Length"])))
            found.append(reply["choices"][0]["message"]["content"])
    return found


def test_each_driver_has_a_row_with_the_calls_of_all_cases(printed: dict[str, Any]) -> None:
    rows = printed["rows"]
    assert [(row["name"], row["concurrency"], row["calls"]) for row in rows] == [
        ("fapo eval", 4, 24),
        ("aiohttp", 4, 24),
    ]
    for row in rows:
        assert (row["runs"], row["max_in_flight"]) == (1, 4)
        assert 1 <= row["ratio_min"] <= row["ratio"] <= row["ratio_max"]
        assert min(row["cpu_ms_per_call"], row["peak_mb"], row["start_s"], row["start_cpu_s"], row["end_s"]) > 0


def test_the_servers_own_limit_and_the_cost_of_litellm_are_told(printed: dict[str, Any]) -> None:
    assert printed["server"].keys() == {"connections", "requests_per_s", "cpu_ms_per_request", "needed_per_s"}
    assert printed["server"]["needed_per_s"] == 4 / 0.005
    assert min(printed["server"].values()) > 0
    assert printed["import_litellm_s"] > 0


def test_a_server_that_would_slow_the_drivers_down_is_told() -> None:
    assert too_slow({"requests_per_s": 2560, "needed_per_s": 1280}) is None
    assert "answers 2,559 requests/s at most, and 1,280 are needed" in str(
        too_slow({"requests_per_s": 2559, "needed_per_s": 1280})
    )


def test_the_server_answers_requests_that_come_in_pieces_or_together(server: Server) -> None:
    server.reset(1)
    whole = request("one") + request("two") + request("three")
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(whole)
        assert read_replies(sock, 3) == [reply_to("one"), reply_to("two"), reply_to("three")]
        for start in range(0, len(whole), 7):
            sock.sendall(whole[start : start + 7])
        assert read_replies(sock, 3) == [reply_to("one"), reply_to("two"), reply_to("three")]
    stats = server.stats()
    assert (stats["requests"], stats["replies"], stats["distinct"]) == (6, 6, 3)


def test_each_step_needs_the_reply_to_the_one_before() -> None:
    (case,) = cases(1)
    answer = case.message
    for _ in STEPS:
        assert score(case, answer) == 0
        answer = reply_to(answer)
    assert score(case, answer) == 1
    assert len({reply_to(case.message) for case in cases(100)}) == 100


def test_a_driver_that_makes_too_few_calls_is_turned_down(server: Server, tmp_path: Path) -> None:
    lazy = tmp_path / "lazy.py"
    lazy.write_text('print(\'{"mean": 1.0, "n": 8}\')')
    with pytest.raises(BadRun, match="did not make the 24 calls of 8 cases"):
        drive(Driver("lazy", str(lazy.with_suffix("")), sys.executable), server, Load(8, 4, 5))


def test_peers_are_driven_by_the_first_interpreter_that_has_them() -> None:
    assert find_peers("none", [sys.executable]) == ([], [])
    assert find_peers("aiohttp", [sys.executable]) == ([Driver("aiohttp", "raw_aiohttp", sys.executable)], [])
    assert find_peers("aiohttp", []) == ([], ["aiohttp"])
    with pytest.raises(SystemExit, match="unknown peers: httpx"):
        find_peers("httpx", [sys.executable])
