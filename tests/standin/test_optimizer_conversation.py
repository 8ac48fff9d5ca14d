"""What is read out of a Messages conversation."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest

from fapo.standin.conversation import Call, Exchange, exchanges, file_view, flat_text, workspace


def conversation(content: Any, *, is_error: bool = False) -> list[dict[str, Any]]:
    use = {"type": "tool_use", "id": "a", "name": "Read", "input": {"file_path": "/w/x"}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": content, "is_error": is_error}
    return [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": [{"type": "text", "text": "I read."}, use]},
        {"role": "user", "content": [result, {"type": "text", "text": "<system-reminder>hm</system-reminder>"}]},
    ]


@pytest.mark.parametrize(
    "content",
    ["hello", [{"type": "text", "text": "hello"}], "hello\n<system-reminder>\nbe good\n</system-reminder>\n"],
)
def test_a_result_is_its_text_without_reminders(content: Any) -> None:
    assert exchanges(conversation(content)) == (Exchange("Read", {"file_path": "/w/x"}, "hello", failed=False),)


def test_an_error_is_known_as_one_and_has_no_payload() -> None:
    (exchange,) = exchanges(conversation('{"a": 1}', is_error=True))
    assert exchange.failed
    assert exchange.payload is None


def test_a_call_without_a_result_is_left_out() -> None:
    assert exchanges(conversation("x")[:2]) == ()


def test_an_exchange_answers_the_same_tool_on_the_same_file() -> None:
    (exchange,) = exchanges(conversation("x"))
    assert exchange.answers(Call("Read", {"file_path": "/w/x", "limit": 3}))
    assert not exchange.answers(Call("Read", {"file_path": "/w/y"}))
    assert not exchange.answers(Call("Edit", {"file_path": "/w/x"}))


@pytest.mark.parametrize("arrow", ["\t", "→"])
def test_line_numbers_of_a_read_are_stripped(arrow: str) -> None:
    shown = f"     1{arrow}first\n     2{arrow}\n     3{arrow}  7\tindented →\n"
    view = file_view(shown)
    assert view is not None
    assert view.text == "first\n\n  7\tindented →\n"
    assert view.whole


def test_lines_without_a_number_are_no_part_of_the_file() -> None:
    view = file_view("1\tfirst\n2\tsecond\n\n<system-reminder>careful</system-reminder>\nNote: 3 lines")
    assert view is not None
    assert view.text == "first\nsecond\n"


@pytest.mark.parametrize(
    "shown",
    ["40\tx", "\n".join(f"{n}\tx" for n in range(1, 2001)), "1\t" + "x" * 2000],
    ids=["from the middle", "many lines", "a long line"],
)
def test_a_file_that_may_be_cut_is_not_whole(shown: str) -> None:
    view = file_view(shown)
    assert view is not None
    assert not view.whole


def test_a_read_without_numbered_lines_shows_no_file() -> None:
    assert file_view("File unchanged since last read.") is None


def test_the_workspace_is_found_in_the_system_prompt_first() -> None:
    messages = [{"role": "user", "content": "Workspace: /user"}]
    assert workspace("a\nWorkspace: /sys tem/x \nb", messages) == PurePosixPath("/sys tem/x")
    assert workspace("", messages) == PurePosixPath("/user")
    assert workspace("", []) is None


def test_text_of_any_content_is_flat() -> None:
    assert flat_text("a") == "a"
    assert flat_text([{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]) == "a\nb"
    assert flat_text(None) == ""
