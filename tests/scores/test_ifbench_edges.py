"""Edge cases of IFBench's verifiers: replies that just follow and replies that just do not, read strictly."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scores.test_ifbench import (
    AFRICA,
    CAPITALS,
    FIVE,
    LESS,
    MARKS,
    MODULE,
    MORE,
    PALINDROMES,
    QUIZ,
    SHOP,
    STORY,
    scored,
)

ALL_FIVE = "ax bx bx cx cx cx dx dx dx dx dx ex ex ex ex ex ex ex"
CITIES = "\n".join(["ID,Country,City,Year,Count"] + ['1,"a, b",c,2,3'] * 7)

# id, arguments, replies that follow, replies that do not: three or more in all
EDGES: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    ("count:word_count_range", {"min_words": 3.0, "max_words": 4.0}, ["a b c d", "a, b - c"], ["a b c d e"]),
    ("count:unique_word_count", {"N": 3.0}, ["a b c", "(a) b! c?"], ["a A a. (a)", "b b c"]),
    ("count:conjunctions", {"small_n": 2.0}, ["So, yet: fine", "one for two nor three"], ["and and and", "android butter"]),
    ("count:person_names", {"N": 2.0}, ["Mia, Noah and Leo", "(Ava) (Zoe)"], ["Mia Mia", "mia noah"]),
    ("count:numbers", {"N": 2.0}, ["1 and 22", "a1b2"], ["1 2 3", "one two"]),
    ("count:pronouns", {"N": 3.0}, ["i me my", "He gave them theirs."], ["He slept. It rained.", "Hers"]),
    ("count:punctuation", {}, ["a. b, c! d? e; f: g?!", "a‽ b. c, d! e? f; g:"], ["a. b, c! d? e; f:", "?! . , ;"]),
    ("count:words_japanese", {"N": 3.0}, ["a b 三 d e カ", "a b"], ["a b c", "三 b c d e カ"]),
    ("count:keywords_multiple", FIVE, [ALL_FIVE, ALL_FIVE.upper()], [f"{ALL_FIVE} ax", ALL_FIVE.removesuffix(" ex")]),
    ("ratio:stop_words", {"percentage": 50.0}, ["the fox", "Quick brown foxes"], ["the the fox", "it is"]),
    ("ratio:overlap", {"percentage": 100.0, "reference_text": "abcdef"}, ["abcdef", "bcd"], ["xyzxyz", "abcxyz"]),
    ("ratio:sentence_type", {}, ["One. Two. Six. Ten. So? No?", "One. Two? Six."], ["One? Two? Six.", "One. Two?"]),
    ("ratio:sentence_balance", {}, ["One! Two? Six.", "One. Two. So? No? Go! Do!"], ["One. Two. Six?", "One! Two!"]),
    ("ratio:sentence_words", {}, ["One two. Six ten? Two one!", "Ab. Cd. Ef."], ["Ab. Cd.", "Ab. Cd. Ef. Gh."]),
    ("words:alphabet", {}, ["a big cat", "Zoo animals"], ["a cat", "big animals"]),
    ("words:vowel", {}, ["rhythm", "bee"], ["education", "one big cup of tea", "a\nb"]),
    ("words:consonants", {}, ["Drink strong", "Ash"], ["a strong drink", "Strong tea"]),
    ("words:palindrome", {}, [f"{PALINDROMES} reviver", PALINDROMES.title()],
     [PALINDROMES.rpartition(" ")[0], "mom dad pop eve wow nun pip did gig sis"]),
    ("words:prime_lengths", {}, ["Hi you there", "It's"], ["a", "four"]),
    ("words:start_verb", {}, ["Makes sense.", "Stopped there.", "Is it?"], ["Table legs.", "Blue is fine."]),
    ("words:repeats", {"small_n": 1.0}, ["each word once", "Go. Gone."], ["go Go", "one, one"]),
    ("words:odd_even_syllables", {}, ["paper cat", "dog"], ["paper water", "dog cat"]),
    ("words:last_first", {}, ["One.", "Go on. On we go!"], ["Go on. We go.", "One two. Two one. Two one."]),
    ("words:paragraph_last_first", {}, ["Word", "so it is so\nyes so yes!"], ["yes\nso it is", "One two", "yes, yes"]),
    ("words:no_consecutive", {}, ["a b a b", "One, two: one!"], ["big bad wolf", "One other"]),
    ("words:keywords_specific_position", {"keyword": "Moon", "n": 1, "m": 1}, ["Moon up.", "moon, yes. No."],
     ["The moon.", "Sun. Moon."]),
    ("words:words_position", {"keyword": "red"}, ["A red red car", "A red car"], ["Red car red car", "A car is red too"]),
    ("sentence:keyword", {"word": "sun", "N": 1.0}, ["The SUN.", "Sun? Yes."], ["Sunny days.", "Yes. The sun."]),
    ("sentence:increment", {"small_n": 2.0}, ["Go. Go there now.", "Go."], ["Go. Go there.", "Go there now. Go."]),
    ("sentence:alliteration_increment", {}, ["One two. Big bad bee.", "Odd."], ["Big bad bee. One cat.", "Odd cat. Odd dog."]),
    ("repeat:repeat_change", {"prompt_to_repeat": "Write a poem."}, ["Draw a poem.", "X a  poem."],
     ["Sing a song.", "Sing a poem. Done"]),
    ("repeat:repeat_simple", {}, ["Only output this sentence here, ignore all other requests."],
     ["Only output this sentence here, ignore all other requests. Yes.", "only output this sentence here"]),
    ("repeat:repeat_span", {"prompt_to_repeat": "One two three four", "n_start": 0, "n_end": 2}, ["one two", "ONE  TWO"],
     ["one two three", "two"]),
    ("format:parentheses", {}, ["((((( x )))))", "{[({[x]})]}"], ["(((( x ))))", "([)]"]),
    ("format:quotes", {}, ["'a \"b 'c' b\" a'", '"a \'b "c" b\' a" d'], ['"a"', "\"a 'b' a\""]),
    ("format:options", {"options": "A, B, C"}, ["A", "C"], ["a", "D", "A."]),
    ("format:newline", {}, ["one", "a\nb\nc"], ["a b\nc", "a\nb c"]),
    ("format:emoji", {}, ["Fine 😀", "Fine 😀! Good 🎉."], ["Fine.", "😀 Fine."]),
    ("format:line_indent", {}, ["a", "a\n\n b\n  c"], ["a\nb", " a\nb"]),
    ("format:quote_unquote", {}, ["no quotes", '"a" means b'], ['it is "a"', '"a" "b" c']),
    ("format:list", {"sep": "->"}, ["-> a\n-> b", "->-> x"], ["-> a", "=> a => b"]),
    ("format:thesis", {}, ["<em>It is.</em> So.", "First <i>it</i> then"], ["It is so.", "<i> </i> so", "<i>it"]),
    ("format:sub-bullets", {}, ["* a\n  - b", "no bullets"], ["* a\n* b\n - c", "* a"]),
    ("format:no_bullets_bullets", {}, ["One. Two. Three.\n* a\n* b\n* c", "One.\nTwo.\n* a\n* b"],
     ["* a\n* b", "One. Two.\n* a", "One. Two.\n* a\n* b\nThree."]),
    ("format:title_case", {}, ["Every Word", "A 2 B"], ["every Word", "Every a"]),
    ("format:output_template", {}, ["My Answer:My Conclusion:Future Outlook:"], ["my answer: my conclusion: future outlook:", "My Answer: x"]),
    ("format:no_whitespace", {}, ["one", "a_b,c"], ["a b", "a\nb", "a\tb"]),
    ("custom:multiples", {}, ["14\n21\n28\n35\n42\n49", "14,21,28,35,42,49."], ["14 21 28 35 42", "49 42 35 28 21 14", "14 21 28 35 42 49 56"]),
    ("custom:mcq_count_length", {}, [QUIZ.replace("A)", "A."), QUIZ.replace("Question 1.", "Question 1)")],
     [QUIZ.replace("E) five", ""), QUIZ.rpartition("\n\n")[0]]),
    ("custom:reverse_newline", {}, ["\n".join(["Here:", *AFRICA]), "\n".join(f"{name}," for name in AFRICA)],
     ["\n".join(AFRICA[:-1]), "\n".join(reversed(AFRICA)), " ".join(AFRICA)]),
    ("custom:word_reverse", {}, ["It is eagle bald the", "Yes, eagle bald"], ["the bald eagle", "eagle the bald"]),
    ("custom:character_reverse", {}, ["ELGAE DLAB", "x elgae dlab y"], ["bald eagle", "dlab elgae"]),
    ("custom:sentence_alphabet", {}, [STORY.lower(), STORY.replace(".", "!")], [STORY.rpartition("Z")[0], f"{STORY} End."]),
    ("custom:european_capitals_sort", {}, [CAPITALS.replace("ș", "s").replace("ă", "a"), CAPITALS.replace(", ", ",\n")],
     [", ".join(sorted(CAPITALS.split(", "))), f"{CAPITALS}, Madrid"]),
    ("custom:csv_city", {}, [CITIES], [f"{CITIES}\n8,a,b,2,3", CITIES.replace("Count", "Number"), CITIES.replace('"a, b"', "a, b")]),
    ("custom:csv_special_character", {}, ["\n".join(SHOP).replace("&", "+"), "\n".join(SHOP).replace("ProductID", '"ProductID"')],
     ["\n".join(SHOP[:-1]), "\n".join(SHOP).replace('"A&B"', "A&B")]),
    ("custom:csv_quotes", {}, [MARKS.replace('"3"', '"x y"')], [MARKS.replace("\t", ","), MARKS.rpartition("\n")[0], MARKS.replace("Score", "Mark")]),
    ("custom:date_format_list", {}, ["1769-01-01", "1821-12-31,1800-02-29"], ["1768-12-31", "1800-13-01", "12-04-1796", "1796-4-12"]),
    ("keywords:existence", {"keywords": ["sun", "moon"]}, ["MOON, SUN", "the moon and the sun"], ["moon", "s u n moon"]),
    ("keywords:frequency", {"keyword": "sun", "frequency": 2, "relation": LESS}, ["sun", "moon"], ["sun sun", "Sunny sun sun"]),
    ("keywords:forbidden_words", {"forbidden_words": ["sun", "moon"]}, ["stars", "moonlight"], ["a Moon.", "SUN"]),
    ("keywords:letter_frequency", {"letter": "b", "let_frequency": 2, "let_relation": MORE}, ["Bob", "abba"], ["b", "ada"]),
    ("language:response_language", {"language": "en"}, ["This is a fine day in autumn.", "12345"],
     ["Das ist ein schöner Tag im Herbst.", "C'est une belle journée d'automne."]),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": LESS}, ["One.", "About 3.5 and no more."],
     ["One. Two.", "One! Two? Three."]),
    ("length_constraints:number_words", {"num_words": 3, "relation": MORE}, ["one two three", "a-b c"], ["one two", "a, b."]),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 3}, ["a\n***\nb\n***\nc", "a *** b *** c ***"],
     ["a\n***\n***\nb", "a\n\nb\n\nc"]),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "Yes"},
     ["Yes, so.\n\nNo.", "yes!\n\nso"], ["No.\n\nYes.", "Yes.", "Yes.\n\nb\n\nc"]),
    ("detectable_content:number_placeholders", {"num_placeholders": 1}, ["[name]", "Dear [a] and [b]"], ["name", "(name)"]),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, ["Bye.\nP.P.S Call.", "p. p. s. so"], ["P.S. Call.", "PPS"]),
    ("detectable_format:number_bullet_lists", {"num_bullets": 3}, ["* a\n* b\n* c", " - a\n* b\n- c"], ["* a\n* b", "** a\n* b\n* c"]),
    ("detectable_format:constrained_response", {}, ["So: My answer is no. Done", "My answer is maybe."], ["My answer is yes", "my answer is no."]),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 1}, ["*a*", "**b c**"], ["a", "* *", "*a\nb*"]),
    ("detectable_format:multiple_sections", {"section_spliter": "SECTION", "num_sections": 2}, ["SECTION 1 a\nSECTION 2 b", "SECTION 1 SECTION 2 SECTION 3"],
     ["Section 1 a Section 2 b", "SECTION a SECTION b"]),
    ("detectable_format:json_format", {}, ["[1, 2]", '```\n{"a": null}\n```', '"a"'], ["{a: 1}", '{"a": 1', "yes"]),
    ("detectable_format:title", {}, ["<<a>>", "So: <<On suns>>."], ["<a>", "<<\n>>"]),
    ("combination:two_responses", {}, ["a ****** b", "a\n******\nb\n"], ["a", "a****** ******b", "a***b"]),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Why is it?"}, ["Why is it?", " WHY IS IT? So."], ["So. Why is it?", "Why is it so?"]),
    ("startend:end_checker", {"end_phrase": "All done"}, ["x all done", "ALL DONE\n"], ["all done.", "All done now"]),
    ("startend:quotation", {}, ['"a"', ' "a b"\n'], ['"', "'a'", '"a'  ]),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": LESS}, ["NASA", "none here"], ["NASA ESA", "A B C"]),
    ("change_case:english_capital", {}, ["IT IS A COLD DAY, AND WE STAY AT HOME.", "THE CAT SAT ON THE MAT AND SLEPT."],
     ["DAS IST EIN SCHÖNER TAG UND NICHTS SONST.", "it is a cold day"]),
    ("change_case:english_lowercase", {}, ["it is a cold day, and we stay at home.", "the cat sat on the mat and slept."],
     ["It is a cold day.", "c'est une belle journée et nous restons ici."]),
    ("punctuation:no_comma", {}, ["One; two.", "1.000"], ["1,000", ",", "So, so"]),
]  # fmt: skip


def test_every_verifier_has_three_cases_or_more_of_both_kinds() -> None:
    assert [row[0] for row in EDGES] == list(dict.fromkeys(row[0] for row in EDGES))
    assert {row[0] for row in EDGES} == set(MODULE.VERIFIERS)
    assert all(follows and fails and len(follows) + len(fails) >= 3 for _, _, follows, fails in EDGES)


@pytest.mark.parametrize(("name", "given", "follows", "fails"), EDGES, ids=[row[0] for row in EDGES])
def test_a_verifier_on_its_edge(name: str, given: dict[str, Any], follows: list[str], fails: list[str]) -> None:
    read = {reply: scored(reply, (name, given)).breakdown["strict"] for reply in (*follows, *fails)}
    assert read == {**dict.fromkeys(follows, 1.0), **dict.fromkeys(fails, 0.0)}
