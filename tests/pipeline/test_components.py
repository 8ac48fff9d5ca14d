"""Instructions as components: the System section alone is replaced, and placeholders survive."""

from __future__ import annotations

from pathlib import Path

import pytest

from fapo.pipeline.components import instructions, with_instructions
from fapo.pipeline.prompts import parse_prompt

WITH = b"---\nsampling: {temperature: 0.0}\n---\nSystem:\nBe kind.\nBe brief.\n\nUser:\nText: {{ text }}\n"
WITHOUT = b"User:\nText: {{ text }}\n"
FILLED = b"System:\nSpeak {{ language }}.\n\nUser:\n{{ text }}\n"
SNAPSHOT = {"prompts/a.md": WITH, "prompts/b.md": WITHOUT, "prompts/c.md": FILLED, "pipeline.py": b"x = 1\n"}


def rendered(content: bytes, **variables: str) -> list[dict[str, str]]:
    return parse_prompt(content.decode(), Path("p.md")).render(variables)


def test_what_is_found() -> None:
    assert instructions(SNAPSHOT) == {"a": "Be kind.\nBe brief.", "b": "", "c": "Speak {{ language }}."}


def test_a_replaced_instruction() -> None:
    changed = with_instructions(SNAPSHOT, {"a": "Be exact.", "b": "", "c": "Speak {{ language }}."})
    assert changed == SNAPSHOT | {"prompts/a.md": WITH.replace(b"Be kind.\nBe brief.", b"Be exact.")}


def test_an_instruction_where_there_was_none() -> None:
    changed = with_instructions(SNAPSHOT, {"b": "Be exact."})
    assert changed["prompts/b.md"] == b"System:\nBe exact.\n\n" + WITHOUT


@pytest.mark.parametrize("text", ['Answer {"team": "{{ team }}"}.', "Use {% for %} well.", "{# note #} {{", "Say {{ x"])
def test_what_looks_like_a_template_is_taken_literally(text: str) -> None:
    changed = with_instructions(SNAPSHOT, {"a": text})
    assert rendered(changed["prompts/a.md"], text="t")[0]["content"].strip() == text


def test_placeholders_stay() -> None:
    changed = with_instructions(SNAPSHOT, {"c": "Always speak {{ language }}, please."})
    assert rendered(changed["prompts/c.md"], text="t", language="Latin")[0]["content"] == "Always speak Latin, please."
    with pytest.raises(ValueError, match="language"):
        with_instructions(SNAPSHOT, {"c": "Speak any language."})
