"""The lexical reader: what it reads decides, and how it is told to read and to answer."""

from __future__ import annotations

import json
import re

import pytest

from fapo.standin.reader import Reply, read

WEIGH = "Consider each option and weigh the evidence."
ONLY_ID = "Answer with only the id and nothing else."
OPTIONS = (
    "Options:\n- AN-1: grey animal of the forest\n- AN-2: striped jungle cat (tiger)\n"
    "- AN-3: animal that hunts in the forest"
)
ORDER = (
    "Email: Hello,\n\nmy name is Ada Berg. Last year I had 5 chairs sent to Bergen on 2 April 2026. Please "
    "ship 12 units of the oak shelf for order number 4412 to Oslo by 3 May 2026."
)
FIELDS = (
    "Extract from the email, in JSON, these fields:\n- order_number\n- quantity: how many units\n"
    "- city: where to ship to\n- phone"
)
HOPS = (
    "Question: Where was the director of Blue Harbour born?\n\nPassages:\n[1] Blue Harbour | Blue Harbour is a film "
    "directed by Mara Lind. It was shot in Lisbon.\n[2] Red Harbour | Red Harbour is a port in Maine.\n[3] Mara Lind | "
    "Mara Lind was born in Aarhus. She studied in Paris."
)


def ask(
    system: str, user: str, *, temperature: float = 0.0, seed: int | None = None, limit: int | None = None
) -> Reply:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return read(messages, temperature=temperature, seed=seed, max_tokens=limit)


def say(system: str, user: str) -> str:
    return ask(system, user).text


class TestChoosing:
    def test_evidence_decides_and_not_the_place(self) -> None:
        lines = ["- A-1: garden hose", "- A-2: kitchen knife", "- A-3: wool blanket"]
        for turned in (lines, lines[::-1], [lines[1], lines[0], lines[2]]):
            user = "Options:\n" + "\n".join(turned) + "\n\nText: a sharp knife for the kitchen"
            assert say(f"Choose one. {ONLY_ID}", user) == "A-2"

    def test_another_text_gets_another_answer(self) -> None:
        for text, answer in (("the hose in the garden", "A-1"), ("a warm blanket of wool", "A-3")):
            user = f"Options:\n- A-1: garden hose\n- A-2: kitchen knife\n- A-3: wool blanket\n\nText: {text}"
            assert say(f"Choose one. {ONLY_ID}", user) == answer

    def test_careful_reading_knows_an_alias_where_hasty_reading_counts_words(self) -> None:
        user = f"{OPTIONS}\n\nText: An animal of the forest that hunts is the tiger."
        assert say(f"Choose one. {ONLY_ID}", user) == "AN-3"
        assert say(f"Choose one. {WEIGH} {ONLY_ID}", user) == "AN-2"

    def test_without_evidence_it_guesses_the_first_unless_told_otherwise(self) -> None:
        user = f"{OPTIONS}\n\nText: rain all week"
        assert say(f"Choose one. {ONLY_ID}", user) == "AN-1"
        assert say(f'Choose one. {ONLY_ID} If none fits, answer "unknown".', user) == "unknown"

    def test_lists_of_system_and_user_are_united(self) -> None:
        system = f"Name the code. We mostly see:\n- C-1: broken door\n- C-2: broken window\n\n{ONLY_ID}"
        user = (
            "Report: the chimney leaks\n\n"
            "Candidates (options to consider as well, best match first):\n"
            "- C-7: leaking chimney\n- C-8: leaking tap\n\nFacts: it leaks\n\nWhich code is it?"
        )
        assert say(system, user) == "C-7"

    @pytest.mark.parametrize(
        ("options", "answer"),
        [
            ("Options:\n(A) a cat that meows\n(B) a dog that barks", "B"),
            ("Categories:\ncats — they meow\ndogs — they bark", "dogs"),
            ("Labels:\n- cats\n- barking dogs", "barking dogs"),
            ("Options:\n1. meowing cats\n2. barking dogs", "barking dogs"),
            ("Options:\nK-1 meowing cats\nK-2 barking dogs", "K-2"),
        ],
    )
    def test_lists_come_in_many_forms(self, options: str, answer: str) -> None:
        assert say("Choose one. Answer with only the label.", f"{options}\n\nText: it barks, as dogs do") == answer

    def test_worked_examples_vote(self) -> None:
        shown = "Input: the sink drips\nOutput: red\n\nInput: the lamp flickers\nOutput: blue\n\n"
        system = "Classify as one of: green, red, blue. Answer with only the label."
        assert say(system, f"{shown}Input: my lamp flickers") == "blue"
        assert say(system, "Input: my lamp flickers") == "green"

    def test_a_draft_is_corrected_only_where_the_evidence_is_clear(self) -> None:
        system = f"Check the draft and correct it if needed. {ONLY_ID}"
        options = "Options:\n- Z-1: garden hose\n- Z-2: kitchen knife\n\n"
        assert say(system, f"{options}Text: a kitchen knife, sharp\n\nDraft: Z-1") == "Z-2"
        assert say(system, f"{options}Text: a grey thing\n\nDraft: Z-2") == "Z-2"


class TestExtraction:
    def test_careful_reading_takes_the_value_that_is_named(self) -> None:
        told = f"{FIELDS}\nReply with plain JSON, null where a value is missing."
        hasty = json.loads(say(told, ORDER))
        careful = json.loads(say(f"{told} Work step by step.", ORDER))
        assert careful == {"order_number": "4412", "quantity": 12, "city": "Oslo", "phone": None}
        assert hasty["order_number"] != "4412"

    def test_untold_it_fences_its_json(self) -> None:
        assert "```json" in say(FIELDS, ORDER)

    def test_dates_are_put_as_asked(self) -> None:
        told = 'Extract as plain JSON, step by step: {"due": "the date it is due, YYYY-MM-DD", "city": "..."}'
        assert json.loads(say(told, "Text: It is due on 3 May 2026 in Oslo.")) == {"due": "2026-05-03", "city": "Oslo"}


class TestQuestions:
    def test_a_span_where_told_to_be_short_and_a_sentence_otherwise(self) -> None:
        assert say("Answer from the passages. Give the shortest span.", HOPS) == "Aarhus"
        assert "Mara Lind was born in Aarhus." in say("Answer from the passages.", HOPS)

    def test_without_the_second_passage_it_cannot_know(self) -> None:
        first = HOPS.split("\n[2]")[0]
        assert "Aarhus" not in say("Answer from the passages. Give the shortest span.", first)

    @pytest.mark.parametrize(
        ("question", "answer"),
        [
            ("When did the mill burn?", "4 June 1911"),
            ("How many workers had the mill?", "320"),
            ("Who founded the mill?", "Olga Stern"),
        ],
    )
    def test_the_question_word_tells_the_kind(self, question: str, answer: str) -> None:
        context = (
            "- The mill had 320 workers.\n- The mill burned on 4 June 1911.\n- The mill was founded by Olga Stern."
        )
        user = f"Context:\n{context}\n\nQuestion: {question}"
        assert say("Answer with only the answer.", user) == answer

    def test_a_query_has_the_names_that_the_passages_add(self) -> None:
        assert "Mara Lind" in say("Write a search query for what is missing. Only the query.", HOPS)


class TestSummaries:
    TEXT = "Text: Acme makes pumps. They are blue. The pump fails because of a missing seal."

    def test_hasty_reading_takes_the_first_sentence_and_careful_reading_the_one_asked_for(self) -> None:
        told = "Summarize what is wrong, in one sentence."
        assert "seal" not in say(told, self.TEXT)
        assert "missing seal" in say(f"{told} Quote the exact words.", self.TEXT)


class TestManners:
    USER = f"{OPTIONS}\n\nText: a striped cat"

    @pytest.mark.parametrize(
        ("told", "reply"),
        [
            ("Answer with only the id.", "AN-2"),
            ("Put the id inside <pick></pick> and nothing else.", "<pick>AN-2</pick>"),
            ('Write only the id after "Answer:" and nothing else.', "Answer: AN-2"),
            ("Answer with only the id, in lower case.", "an-2"),
        ],
    )
    def test_instructions_on_the_form_are_obeyed(self, told: str, reply: str) -> None:
        assert say(f"Choose one. {told}", self.USER) == reply

    def test_untold_it_talks_and_now_and_then_names_another_option(self) -> None:
        replies = [say("Choose one.", f"{OPTIONS}\n\nText: striped cat number {n}") for n in range(30)]
        misled = [re.findall(r"AN-\d", reply)[-1] != "AN-2" for reply in replies]
        assert all(reply != "AN-2" for reply in replies)
        assert any(misled)
        assert not all(misled)

    def test_forbidden_to_hedge_it_names_one_option(self) -> None:
        told = "Choose one. Do not name alternatives."
        replies = [say(told, f"{OPTIONS}\n\nText: striped cat number {n}") for n in range(30)]
        assert {tuple(re.findall(r"AN-\d", reply)) for reply in replies} == {("AN-2",)}

    def test_a_token_limit_cuts(self) -> None:
        reply = ask("Choose one.", self.USER, limit=3)
        assert reply.finish_reason == "length"
        assert len(reply.text) == 12
        assert ask("Choose one.", self.USER, limit=300).finish_reason == "stop"


class TestChance:
    USER = "Options:\n- A-1: red wool hat\n- A-2: red wool scarf\n- A-3: red silk tie\n\nText: a red hat of wool"

    def test_at_temperature_0_the_seed_does_not_matter(self) -> None:
        assert {ask(ONLY_ID, self.USER, seed=seed).text for seed in range(30)} == {"A-1"}

    def test_at_temperature_1_samples_differ_and_repeat_by_seed(self) -> None:
        samples = [ask(ONLY_ID, self.USER, temperature=1.0, seed=seed).text for seed in range(60)]
        assert len(set(samples)) > 1
        assert max(set(samples), key=samples.count) == "A-1"
        assert samples == [ask(ONLY_ID, self.USER, temperature=1.0, seed=seed).text for seed in range(60)]


@pytest.mark.parametrize(
    "system",
    [
        f"Choose one. {ONLY_ID}",
        "Answer with only the answer.",
        "Write a search query, only the query.",
        "Summarize. Quote the exact words. Only the summary.",
    ],
)
@pytest.mark.parametrize("user", [HOPS, f"{OPTIONS}\n\nText: a striped cat", ORDER])
def test_told_to_answer_alone_it_says_nothing_that_is_not_in_the_prompt(system: str, user: str) -> None:
    known = set(re.findall(r"\w+", f"{system} {user}".lower()))
    assert set(re.findall(r"\w+", say(system, user).lower())) <= known


@pytest.mark.parametrize("user", ["", "   \n", "?", "- a\n- b", "{", "[1]", "Options:", ":::\n: x"])
def test_any_text_gets_a_reply(user: str) -> None:
    assert isinstance(say("", user), str)
    assert isinstance(say("Reply in JSON with fields: a, b.", user), str)
