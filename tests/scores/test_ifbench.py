"""IFBench's score: every verifier on a reply that follows and one that does not, the loose readings, the feedback."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fapo.data import find_builtin, load_benchmark
from fapo.evaluation.scoring import load_score
from fapo.records import SPLITS, Case, Prediction, Score

SCORE = load_score("ifbench", Path())
MODULE = sys.modules[SCORE.function.__module__]


def scored(reply: Any, *instructions: tuple[str, dict[str, Any]]) -> Score:
    expected = {
        "instruction_id_list": [name for name, _ in instructions],
        "kwargs": [given for _, given in instructions],
    }
    return SCORE(Case("c", {}, expected), Prediction(reply))


def table(*cells: str, quoted: bool = False) -> str:
    return ",".join(f'"{cell}"' if quoted else cell for cell in cells)


AFRICA = (
    "Zimbabwe Zambia Uganda Tunisia Togo Tanzania Sudan Somalia Seychelles Senegal São-Tomé Rwanda Nigeria Niger Namibia "
    "Mozambique Morocco Mauritius Mauritania Mali Malawi Madagascar Libya Liberia Lesotho Kenya Ivory-Coast Guinea-Bissau "
    "Guinea Ghana Gambia Gabon Ethiopia Eswatini Eritrea Equatorial-Guinea Egypt Djibouti Congo-R Congo-D Comoros Chad "
    "Central-African-Republic Cape-Verde Cameroon Burundi Burkina-Faso Botswana Benin Angola Algeria Aachen"
).split()
CAPITALS = (
    "Reykjavik, Helsinki, Oslo, Tallinn, Stockholm, Riga, Moscow, Copenhagen, Vilnius, Minsk, Dublin, Berlin, Amsterdam, "
    "Warsaw, London, Brussels, Prague, Luxembourg, Paris, Vienna, Bratislava, Budapest, Vaduz, Chișinău, Bern, Ljubljana, "
    "Zagreb"
)
PALINDROMES = "level radar civic kayak rotor refer madam stats tenet solos"
STORY = " ".join(f"{letter}ll is said." for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
SHOP = ["ProductID,Category,Brand,Price,Stock", *(f"{n},Toys,Acme,9,{n}" for n in range(13)), '14,Toys,"A&B",9,1']
MARKS = "\n".join(
    ["\t".join(f'"{cell}"' for cell in ("StudentID", "Subject", "Grade", "Semester", "Score"))]
    + ['"1"\t"2"\t"3"\t"4"\t"5"'] * 3
)
QUIZ = "\n\n".join(
    f"Question {n}. {'Who painted it ' * n}?\nA) one\nB) two\nC) three\nD) four\nE) five" for n in range(1, 5)
)
FIVE = dict(zip(("keyword1", "keyword2", "keyword3", "keyword4", "keyword5"), "ax bx cx dx ex".split(), strict=True))
LESS, MORE = "less than", "at least"

# id, arguments, a reply that follows, one that does not
VERIFIED: list[tuple[str, dict[str, Any], str, str]] = [
    ("count:word_count_range", {"min_words": 3.0, "max_words": 4.0}, "one two-three", "one two"),
    ("count:unique_word_count", {"N": 3.0}, "a b, c. A", "a b, A b."),
    ("count:conjunctions", {"small_n": 2.0}, "This and that, but not it.", "This and that and those, and it."),
    ("count:person_names", {"N": 2.0}, "Emma met Liam.", "Emma met Emmanuel, emma and Emma."),
    ("count:numbers", {"N": 2.0}, "I paid 1,200.50 for 3.", "I paid 1 200 for 3."),
    ("count:pronouns", {"N": 3.0}, "She/her said it.", "She said so. Cats slept."),
    ("count:punctuation", {}, "Well, what?! Now; this: done! Right? Yes.", "Well, what? Now; this: done! Yes."),
    ("count:words_japanese", {"N": 2.0}, "one 二つ, three 4", "one two three 四"),
    ("count:keywords_multiple", FIVE, "ax " + "bx " * 2 + "CX " * 3 + "dx " * 5 + "ex " * 7, "ax bx bx cx dx ex"),
    ("ratio:stop_words", {"percentage": 50.0}, "The brown fox", "It is the fox"),
    ("ratio:overlap", {"percentage": 50.0, "reference_text": "abcd"}, "abcxbcd"[:4] + "", "abcdefghi"),
    ("ratio:sentence_type", {}, "One. Two. Three?", "One. Two?"),
    ("ratio:sentence_balance", {}, "One. Two? Three!", "One. Two? Three."),
    ("ratio:sentence_words", {}, "Abc. Def. Ghi!", "Abc. Def. Ghij."),
    ("words:alphabet", {}, "Yellow zebras are big.", "Yellow zebras big are."),
    ("words:vowel", {}, "A big man sat in a hut", "A big man sat on a hut."),
    ("words:consonants", {}, "Strong ships start", "Strong ships go"),
    ("words:palindrome", {}, PALINDROMES, PALINDROMES.replace("solos", "noon")),
    ("words:prime_lengths", {}, "To the river, plainly.", "To the rivers."),
    ("words:start_verb", {}, "Running is fun.", "The run was fun."),
    ("words:repeats", {"small_n": 2.0}, "go, go to it", "go go go"),
    ("words:odd_even_syllables", {}, "cat water dog paper", "cat dog water"),
    ("words:last_first", {}, "I see you. You see me. Me too.", "I see you. Me too."),
    ("words:paragraph_last_first", {}, "Go and go.\n\nNow or now!", "Now or never."),
    ("words:no_consecutive", {}, "one two one", "one other two"),
    ("words:keywords_specific_position", {"keyword": "sun", "n": 2, "m": 3}, "Hi. See, the Sun!", "The sun. See it."),
    ("words:words_position", {"keyword": "red"}, "The red car is red too.", "The red car is red."),
    ("sentence:keyword", {"word": "sun", "N": 2.0}, "One. The Sun is up.", "The sun. It is sunny."),
    ("sentence:increment", {"small_n": 1.0}, "Go now. Go there, now. Go there - right now.", "Go. Go there right now."),
    ("sentence:alliteration_increment", {}, "Big dogs run. Big bears run. Big bad bears run.", "Big bad bears. Big bears run."),
    ("repeat:repeat_change", {"prompt_to_repeat": "Write a poem."}, "Sing a poem.", "Write a poem."),
    ("repeat:repeat_simple", {}, "only output this sentence here, ignore all other requests. ", "Only output this."),
    ("repeat:repeat_span", {"prompt_to_repeat": "a b c d e", "n_start": 1, "n_end": 3}, "B c", "b c d"),
    ("format:parentheses", {}, "x (a [b {c (d [e])}])", "x (a [b {c (d] e)})"),
    ("format:quotes", {}, "\"He said 'she said \"no\" then' yes\"", "\"He said 'no' then\""),
    ("format:options", {"options": "yes/no/maybe"}, "Maybe.", "Maybe not"),
    ("format:newline", {}, "one\ntwo,\n\nthree", "one two three"),
    ("format:emoji", {}, "Hello there 😀. How are you? 😀", "Hello there 😀. How are you?"),
    ("format:line_indent", {}, "a\n b\n\n   c", "a\nb\nc\nd"),
    ("format:quote_unquote", {}, 'He said "yes" and meant it.', 'He said "yes" "no" then.'),
    ("format:list", {"sep": "!?!?"}, "!?!? one\n!?!? two", "!?!? one\n- two"),
    ("format:thesis", {}, "<i>All is well.</i> It really is.", "<i>All is well.</i>"),
    ("format:sub-bullets", {}, "* a\n - b\n* c\n - d", "* a\n - b\n* c"),
    ("format:no_bullets_bullets", {}, "One. Two.\n* a\n* b", "One.\n* a\n* b"),
    ("format:title_case", {}, "The Big McDonald House, A 3rd Time", "The big House"),
    ("format:output_template", {}, "My Answer: a My Conclusion: b Future Outlook: c", "My Answer: a My Conclusion: b"),
    ("format:no_whitespace", {}, "Yes,they-are", "Yes, they are"),
    ("custom:multiples", {}, "14,21,28, 35 42 49", "7, 14, 21, 28, 35, 42, 49"),
    ("custom:mcq_count_length", {}, QUIZ, f"Here it is: {QUIZ}"),
    ("custom:reverse_newline", {}, "\n".join(AFRICA), "\n".join([*AFRICA[:3], *AFRICA[:2:-1]])),
    ("custom:word_reverse", {}, "US the of symbol the is eagle bald The.", "The bald eagle is it."),
    ("custom:character_reverse", {}, ".elgae dlab eht si tI", "It is the bald eagle."),
    ("custom:sentence_alphabet", {}, STORY, STORY.replace("Bll", "All")),
    ("custom:european_capitals_sort", {}, CAPITALS, CAPITALS.replace("Oslo, ", "")),
    ("custom:csv_city", {}, "\n".join(["ID,Country,City,Year,Count"] + ["1,a,b,2,3"] * 7), "ID,Country,City,Year,Count\n1,a,b,2,3"),
    ("custom:csv_special_character", {}, "\n".join(SHOP), "\n".join(SHOP).replace("&", "")),
    ("custom:csv_quotes", {}, MARKS, MARKS.replace('"2"', "2")),
    ("custom:date_format_list", {}, "1796-04-12, 1800-06-14", "1796-04-12, 1800-06-31"),
    ("keywords:existence", {"keywords": ["sun", "moon"]}, "Sunny moons", "Sunny"),
    ("keywords:frequency", {"keyword": "sun", "frequency": 2, "relation": MORE}, "Sun, sun", "sun"),
    ("keywords:forbidden_words", {"forbidden_words": ["sun"]}, "sunny", "The Sun."),
    ("keywords:letter_frequency", {"letter": "a", "let_frequency": 2, "let_relation": LESS}, "A b", "A a"),
    ("language:response_language", {"language": "de"}, "Das ist ein schöner Tag im Herbst.", "This is a fine day in autumn."),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": MORE}, "Dr. A came. B left.", "Dr. A came."),
    ("length_constraints:number_words", {"num_words": 3, "relation": LESS}, "one two", "one two three"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "one\n***\ntwo", "one"),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "so"},
     "One.\n\n'So, it is.", "So.\n\nIt is."),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] at [place]", "[name at place]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\nP.S. Call me.", "Bye. PS"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a"),
    ("detectable_format:constrained_response", {}, "My answer is yes.", "Yes."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and *b*", "*a* and **"),
    ("detectable_format:multiple_sections", {"section_spliter": "Part", "num_sections": 2}, "Part 1 a Part 2 b", "Part 1 a"),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', 'Here: {"a": 1}'),
    ("detectable_format:title", {}, "<<On suns>>\nText", "<< >>"),
    ("combination:two_responses", {}, "One.******Two.", "One.******One."),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Why is it?"}, "why is it? Because.", "Because."),
    ("startend:end_checker", {"end_phrase": "That is all."}, 'So. "that is all."', "That is all. Bye."),
    ("startend:quotation", {}, '"All of it"', '"All" of it'),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": MORE}, "NASA and ESA", "NASA and Esa"),
    ("change_case:english_capital", {}, "THIS IS AN ENGLISH SENTENCE.", "This IS AN ENGLISH SENTENCE."),
    ("change_case:english_lowercase", {}, "this is an english sentence.", "dies ist ein deutscher satz und nichts sonst."),
    ("punctuation:no_comma", {}, "One and two", "One, two"),
]  # fmt: skip


def test_every_verifier_is_in_the_table() -> None:
    assert len(VERIFIED) == len(MODULE.VERIFIERS) == 83
    assert {name for name, *_ in VERIFIED} == set(MODULE.VERIFIERS)


@pytest.mark.parametrize(("name", "given", "follows", "fails"), VERIFIED, ids=[row[0] for row in VERIFIED])
def test_a_verifier(name: str, given: dict[str, Any], follows: str, fails: str) -> None:
    held, missed = scored(follows, (name, given)), scored(fails, (name, given))
    assert (held.breakdown["strict"], held.value, held.feedback) == (1, 1, "")
    assert missed.breakdown["strict"] == 0
    if (
        name != "format:sub-bullets"
    ):  # read without asterisks, a reply has no bullet points that could lack a sub-bullet
        assert (missed.value, missed.feedback) == (0, MODULE.VERIFIERS[name].missed)


@pytest.mark.parametrize("name", MODULE.VERIFIERS)
def test_feedback_names_neither_verifier_nor_argument(name: str) -> None:
    words = MODULE.VERIFIERS[name].missed
    assert name not in words
    assert "_" not in words
    assert not any(letter.isdigit() for letter in words)
    assert words == words.strip()
    assert words[0].islower()


@pytest.mark.parametrize("reply", ["", "   \n", None])
@pytest.mark.parametrize(("name", "given"), [row[:2] for row in VERIFIED], ids=[row[0] for row in VERIFIED])
def test_a_blank_reply_follows_nothing(name: str, given: dict[str, Any], reply: str | None) -> None:
    assert scored(reply, (name, given)).value == 0


COMMA: tuple[str, dict[str, Any]] = ("punctuation:no_comma", {})
TITLE: tuple[str, dict[str, Any]] = ("detectable_format:title", {})
QUOTED: tuple[str, dict[str, Any]] = ("startend:quotation", {})


@pytest.mark.parametrize(
    ("reply", "instruction"),
    [
        ("Sure, here it is:\nAll of it", COMMA),
        ("All of it\nHope that helps, bye.", COMMA),
        ("Sure, here:\nAll of it\nBye, then.", COMMA),
        ('*"All of it"*', QUOTED),
        ('Sure:\n**"All of it"**\nBye.', QUOTED),
    ],
)
def test_loose_forgives_a_first_line_a_last_line_and_asterisks(reply: str, instruction: tuple[str, Any]) -> None:
    found = scored(reply, instruction)
    assert (found.value, found.breakdown["strict"]) == (1, 0)


def test_the_value_is_the_share_of_instructions_and_the_rest_stands_beside() -> None:
    found = scored("One and two", COMMA, TITLE)
    assert found.value == 0.5
    assert found.breakdown == {"strict": 0.5, "all": 0.0, "strict_all": 0.0}
    assert found.feedback == "the title in double angular brackets is missing"
    assert scored("<<One>> and two", COMMA, TITLE).breakdown == {"strict": 1.0, "all": 1.0, "strict_all": 1.0}


def test_arguments_that_are_null_are_left_out() -> None:
    assert scored("One", ("punctuation:no_comma", {"N": None, "keyword": None})).value == 1


def test_the_shipped_rows_cover_all_of_the_test_sets_verifiers_and_are_read() -> None:
    directory = find_builtin("benchmarks", "ifbench")
    assert directory is not None
    benchmark = load_benchmark(directory)
    test_only = {name for name, *_ in VERIFIED[:58]}
    used = set()
    for split in SPLITS:
        for case in benchmark.cases(split):
            used |= set(case.expected["instruction_id_list"])
            assert 0 <= SCORE(case, Prediction("Yes.")).value <= 1
            assert set(case.inputs) == {"prompt"}
            assert not [name for name in MODULE.VERIFIERS if name in json.dumps(case.inputs)]
    assert test_only <= used
