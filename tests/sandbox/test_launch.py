"""What a sandbox of level `full` shows of the file system, and what it takes to be in one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from fapo.errors import IsolationError
from fapo.sandbox.confine import confine
from fapo.sandbox.launch import outer_command
from fapo.sandbox.policy import Policy, runtime_paths
from tests.sandbox.attacks import run_code

pytestmark = pytest.mark.needs_level("full")


def test_only_level_full_needs_an_outer_command() -> None:
    policy = Policy(read=runtime_paths())
    assert outer_command(policy, "landlock") == []
    assert outer_command(policy, "none") == []
    assert outer_command(policy, "full")[-1] == "--"


def test_links_lead_where_they_lead_outside(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("text")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "far").symlink_to(tmp_path / "link")
    (tmp_path / "up").symlink_to("real/../link/file")
    code = f"""
        from pathlib import Path
        base = Path({str(tmp_path)!r})
        for name in ("far/file", "link/file", "real/file", "up"):
            print((base / name).read_text())
    """
    policy = Policy(read=(tmp_path / "far", tmp_path / "up", *runtime_paths()))
    assert run_code(code, policy, "full").split() == ["text"] * 4


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(IsolationError, match="circle"):
        outer_command(Policy(read=(tmp_path / "a",)), "full")


def test_a_path_that_is_missing_is_left_out(tmp_path: Path) -> None:
    assert run_code("print(1)", Policy(read=(tmp_path / "missing", *runtime_paths())), "full") == "1\n"


def test_single_files_and_nested_folders_keep_their_own_rights(tmp_path: Path) -> None:
    for path in ("work/train/cases", "work/answer/cases", "beside", "hidden"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("old")
    code = f"""
        from pathlib import Path
        from fapo.sandbox.confine import confine
        from fapo.sandbox.policy import Policy, runtime_paths
        base = Path({str(tmp_path)!r})
        read = (base / "work" / "train", base / "beside", *runtime_paths())
        confine(Policy(read=read, write=(base / "work",)), "full")
        for name in ("work/train/cases", "work/answer/cases", "beside", "hidden"):
            try:
                (base / name).write_text("new")
                print("written")
            except OSError as error:
                print(type(error).__name__)
    """
    read = (tmp_path / "work" / "train", tmp_path / "beside", *runtime_paths())
    said = run_code(code, Policy(read=read, write=(tmp_path / "work",)), "full").split()
    assert said == ["OSError", "written", "OSError", "PermissionError"]
    assert (tmp_path / "work" / "answer" / "cases").read_text() == "new"


def test_its_own_tmp_is_empty_and_limited() -> None:
    code = """
        import os
        from pathlib import Path
        from fapo.sandbox.confine import confine
        from fapo.sandbox.policy import Policy, runtime_paths
        confine(Policy(read=runtime_paths(), write=(Path("/tmp"),), file_bytes=2**20), "full")
        print(sorted(os.listdir("/tmp")))
        try:
            for number in range(8):
                Path("/tmp", str(number)).write_bytes(b"x" * 2**18)
        except OSError as error:
            print(number, error.strerror)
    """
    policy = Policy(read=runtime_paths(), write=(Path("/tmp"),), file_bytes=2**20)
    shown = sorted({path.parts[2] for path in policy.readable() if path.is_relative_to("/tmp")})
    assert run_code(code, policy, "full") == f"{shown}\n4 No space left on device\n"


def test_folders_below_tmp_are_shown_beside_its_own_tmp() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder, "file").write_text("text")
        code = f"print(open({folder + '/file'!r}).read())"
        policy = Policy(read=runtime_paths(), write=(Path("/tmp"), Path(folder)))
        assert run_code(code, policy, "full") == "text\n"


def test_devices_and_processes_are_its_own() -> None:
    code = """
        import os
        print(sorted(name for name in os.listdir("/proc") if name.isdigit()) == ["1", str(os.getpid())])
        print(os.path.exists("/dev/stdin"), os.path.exists("/dev/kmsg"), os.path.exists("/dev/mem"))
    """
    policy = Policy(read=(Path("/proc"), Path("/dev/stdin"), Path("/dev"), *runtime_paths()))
    assert run_code(code, policy, "full").split() == ["True", "True", "False", "False"]


def test_level_full_is_not_believed_where_bubblewrap_did_not_start_the_process() -> None:
    with pytest.raises(IsolationError, match="bubblewrap did not start"):
        confine(Policy(read=runtime_paths()), "full")


def test_a_port_belongs_to_network_port() -> None:
    with pytest.raises(ValueError, match="port"):
        Policy(read=(), network="port")
    with pytest.raises(ValueError, match="port"):
        Policy(read=(), port=80)
