"""Private details: left out with care, some by chance without, and put back from the text that they came from."""

from __future__ import annotations

import pytest

from fapo.standin.reader import read

TOLD = "Write a request for help that does not give away private information."
CAREFUL = f"{TOLD} Work step by step."
LETTER = (
    "My name is Ilse Tovelund. Please write to Bram Feldott that I, Ilse Tovelund, moved to 12 Heron Walk on "
    "3 May 2024. My mail is ilse@post.example, my phone 555-0134, and I owe $4,200 under B445566. I have asthma."
)


def reply(told: str, text: str) -> str:
    system = [{"role": "system", "content": told}] if told else []
    return read([*system, {"role": "user", "content": text}], 0.0, None, None).text


def test_with_care_all_that_it_knows_for_private_is_left_out() -> None:
    assert reply(CAREFUL, f"Letter: {LETTER}") == (
        "My name is [name 1]. Please write to [name 2] that I, [name 1], moved to [identifier 1] [name 3] on [date 1]. "
        "My mail is [e-mail 1], my phone [phone 1], and I owe [amount 1] under [identifier 2]. I have asthma."
    )


def test_without_care_addresses_of_mail_go_and_the_rest_by_chance() -> None:
    names = [
        f"Ilse {first}{last}" for first in "Tov Mar Hel Quin Bran".split() for last in "elund aby owen ister".split()
    ]
    said = [reply(TOLD, f"Letter: My name is {name}. Mail: a@b.example") for name in names]
    assert not any("a@b.example" in text for text in said)
    assert 4 < sum("Ilse" in text for text in said) < 16


def test_told_to_quote_it_leaves_names_in() -> None:
    assert "Ilse Tovelund" in reply(f"{TOLD} Quote the exact words.", f"Letter: {LETTER}")


def test_a_prompt_that_asks_for_nothing_of_the_kind_is_read_as_before() -> None:
    assert "[name" not in reply("Summarize the letter. Work step by step.", f"Letter: {LETTER}")


@pytest.mark.parametrize(("told", "filled"), [("Work step by step.", True), ("", False)])
def test_placeholders_are_filled_from_the_query(told: str, filled: bool) -> None:
    text = f"Query: {LETTER}\n\nRequest: Write to [name 2].\n\nResponse: Dear [name 2], call [phone 1] or [name 9]."
    said = reply(f"Respond to the query. {told}", text)
    assert said == ("Dear Bram Feldott, call 555-0134 or [name 9]." if filled else text.partition("Response: ")[2])


def test_a_lone_message_that_asks_for_a_text_gets_a_draft() -> None:
    assert reply("", "Please write to my landlord about the heating.").startswith("Here is a first version.")
    assert not reply("", "Text: please wait.\nQuestion: who waits?").startswith("Here is a first version.")
