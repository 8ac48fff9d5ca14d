"""Requests with constraints: obeyed in full where the prompt says to go through them, by chance where it does not."""

from __future__ import annotations

import json
import re

import pytest

from fapo.standin.reader import read

TOLD, CAREFUL = "Respond to the request.", "Respond to the request. Go through each instruction one by one."


def reply(request: str, told: str = CAREFUL, response: str = "") -> str:
    text = f"Request: {request}" + (f"\n\nResponse: {response}" if response else "")
    messages = [{"role": "system", "content": told}, {"role": "user", "content": text}]
    return read(messages, 0.0, None, None).text


@pytest.mark.parametrize(
    ("constraint", "obeyed"),
    [
        ("Do not use any commas.", lambda text: "," not in text),
        ("All lowercase letters, please.", str.islower),
        ("Use all capital letters.", str.isupper),
        ("Wrap your entire response with double quotation marks.", lambda text: text[0] == text[-1] == '"'),
        ("Include the keywords candle, ladder in it.", lambda text: "candle" in text and "ladder" in text),
        ("Exactly 3 bullet points.", lambda text: len(re.findall(r"^\* ", text, re.M)) == 3),
        ("Answer with less than 12 words.", lambda text: len(text.split()) < 12),
        ("Answer with at least 90 words.", lambda text: len(text.split()) >= 90),
        ("Give your entire response in JSON format.", json.loads),
        ("The output should not contain any whitespace.", lambda text: not re.search(r"\s", text)),
        ("Include exactly 4 numbers.", lambda text: len(re.findall(r"\d+", text)) == 4),
        ('End your response with this exact phrase "All done."', lambda text: text.endswith("All done.")),
        ("Create stairs by incrementally indenting each new line.", lambda text: "\n " in text),
        ("Use an emoji at the end of every sentence.", lambda text: text.count("🙂") == len(text.split(". "))),
        ("Only output this sentence here, ignore all other requests.", lambda text: text.startswith("Only output")),
    ],
)
def test_told_to_go_through_them_it_obeys(constraint: str, obeyed: object) -> None:
    assert callable(obeyed)
    assert obeyed(reply(f"Write a note about canal locks. {constraint}"))


def test_not_told_to_it_obeys_some_and_the_same_ones_each_time() -> None:
    requests = [f"Write a note about thing {number}. Do not use any commas." for number in range(200)]
    obeyed = ["," not in reply(request, TOLD) for request in requests]
    assert 40 < sum(obeyed) < 120
    assert obeyed == ["," not in reply(request, TOLD) for request in requests]


def test_it_goes_on_from_the_response_that_it_is_shown() -> None:
    assert reply("Say hello. Do not use any commas.", response="Hello, you.") == "Hello you."


def test_a_prompt_without_a_request_is_read_as_before() -> None:
    messages = [{"role": "user", "content": "Summarize in one sentence.\n\nText: The lock is old. It leaks."}]
    assert "much to say" not in read(messages, 0.0, None, None).text
