"""A confined process against attacks, each of which works in an unconfined one."""

from __future__ import annotations

import platform
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fapo.sandbox.policy import Level, Policy, runtime_paths
from fapo.sandbox.probe import CONFINING
from tests.sandbox.attacks import ATTACKS, ENVIRONMENT, Seen, run_attacks, run_code
from tests.support.levels import EVERY

LEVELS = pytest.mark.parametrize("level", CONFINING)
REFUSALS = (
    "PermissionError", "OSError", "MemoryError", "ValueError: not allowed to raise", "FileNotFoundError",
    "ProcessLookupError", "BlockingIOError",
)  # fmt: skip

CONFINE = """
import sys
from pathlib import Path
from fapo.sandbox.confine import confine
from fapo.sandbox.policy import Policy, runtime_paths
confine(Policy(read=runtime_paths()), "landlock")
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[Level, Seen]:
    """What came of all attacks at every level, and at none."""
    return {level: run_attacks(tmp_path_factory.mktemp(level), level) for level in EVERY}


@LEVELS
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_held_off(seen: dict[Level, Seen], level: Level, attack: str) -> None:
    outcome = seen[level].outcomes[attack]
    assert outcome.startswith(REFUSALS)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_same_attack_works_in_a_free_process(seen: dict[Level, Seen], attack: str) -> None:
    outcome = seen["none"].outcomes[attack]
    assert outcome == "done"


@LEVELS
def test_the_host_sees_nothing_of_attacks(seen: dict[Level, Seen], level: Level) -> None:
    assert seen[level].changed == []
    assert seen[level].arrived == []
    assert seen[level].victim_lives


def test_the_host_sees_the_same_attacks_of_a_free_process(seen: dict[Level, Seen]) -> None:
    assert seen["none"].arrived == ["tcp", "udp", "stream", "abstract", "datagram"]
    assert len(seen["none"].changed) > 5


def test_confinement_cannot_be_undone(tmp_path: Path) -> None:
    (tmp_path / "held-out").write_text("label")
    again = f"""
        policy = Policy(read=(Path("/"),), write=(Path("/"),), network="port", port=9)
        try:
            confine(policy, "landlock")
            Path({str(tmp_path / "held-out")!r}).read_text()
        except OSError as error:
            print(type(error).__name__)
    """
    policy = Policy(read=runtime_paths())
    assert run_code(CONFINE + textwrap.dedent(again), policy, "landlock") == "PermissionError\n"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other machines have no second set of system calls")
def test_the_calls_of_32_bit_programs_end_the_process() -> None:
    getpid_by_interrupt = """
        import ctypes, mmap
        code = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
        code.write(bytes.fromhex("b814000000cd80c3"))
        function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
        function()
    """
    for confining, status in (("", 0), (CONFINE, -31)):
        command = [sys.executable, "-I", "-c", confining + textwrap.dedent(getpid_by_interrupt)]
        assert subprocess.run(command, check=False, env=ENVIRONMENT).returncode == status
