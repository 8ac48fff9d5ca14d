"""IFEval's instructions, which IFBench's training rows are made of (Zhou et al. 2023, arXiv 2311.07911)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from .registry import verifies
from .text import count_words, language_of, sentences, tokens

_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def _holds(count: int, wanted: float, relation: str) -> bool:
    return count < wanted if relation == "less than" else count >= wanted


@verifies("keywords:existence", "a keyword is missing")
def existence(reply: str, keywords: Sequence[str]) -> bool:
    return all(re.search(word, reply, re.IGNORECASE) for word in keywords)


@verifies("keywords:frequency", "a keyword occurs too often or not often enough")
def frequency(reply: str, keyword: str, frequency: float, relation: str) -> bool:
    return _holds(len(re.findall(keyword.strip(), reply, re.IGNORECASE)), frequency, relation)


@verifies("keywords:forbidden_words", "a forbidden word was used")
def forbidden_words(reply: str, forbidden_words: Sequence[str]) -> bool:
    return not any(re.search(rf"\b{word}\b", reply, re.IGNORECASE) for word in forbidden_words)


@verifies("keywords:letter_frequency", "a letter occurs too often or not often enough")
def letter_frequency(reply: str, letter: str, let_frequency: float, let_relation: str) -> bool:
    return _holds(reply.lower().count(letter.strip().lower()), let_frequency, let_relation)


@verifies("language:response_language", "the reply is in another language")
def response_language(reply: str, language: str) -> bool:
    return language_of(reply) in (language, None)


@verifies("length_constraints:number_sentences", "there are too many or too few sentences")
def number_sentences(reply: str, num_sentences: float, relation: str) -> bool:
    return _holds(len(sentences(reply)), num_sentences, relation)


@verifies("length_constraints:number_words", "there are too many or too few words")
def number_words(reply: str, num_words: float, relation: str) -> bool:
    return _holds(count_words(reply), num_words, relation)


@verifies("length_constraints:number_paragraphs", "there are too many or too few paragraphs, or an empty one")
def number_paragraphs(reply: str, num_paragraphs: float) -> bool:
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", reply)]
    return all(parts[1:-1]) and sum(map(bool, parts)) == num_paragraphs


@verifies(
    "length_constraints:nth_paragraph_first_word", "a paragraph begins with another word, or they are more or fewer"
)
def nth_paragraph_first_word(reply: str, num_paragraphs: float, nth_paragraph: float, first_word: str) -> bool:
    parts = reply.split("\n\n")
    whole = sum(bool(part.strip()) for part in parts)
    if not nth_paragraph <= whole or not (paragraph := parts[int(nth_paragraph) - 1].strip()):
        return False
    word = re.split(r"[.,?!'\"]", paragraph.split()[0].strip().lstrip("'").lstrip('"'), maxsplit=1)[0].lower()
    return whole == num_paragraphs and word == first_word.lower()


@verifies("detectable_content:number_placeholders", "there are too few placeholders in brackets")
def number_placeholders(reply: str, num_placeholders: float) -> bool:
    return len(re.findall(r"\[.*?\]", reply)) >= num_placeholders


@verifies("detectable_content:postscript", "the postscript is missing")
def postscript(reply: str, postscript_marker: str) -> bool:
    marker = postscript_marker.strip()
    known = {"P.P.S": r"\s*p\.\s?p\.\s?s.*$", "P.S.": r"\s*p\.\s?s\..*$"}
    return bool(re.findall(known.get(marker, rf"\s*{marker.lower()}.*$"), reply.lower(), re.MULTILINE))


@verifies("detectable_format:number_bullet_lists", "the number of bullet points is another one")
def number_bullet_lists(reply: str, num_bullets: float) -> bool:
    stars = re.findall(r"^\s*\*[^\*].*$", reply, re.MULTILINE)
    return len(stars) + len(re.findall(r"^\s*-.*$", reply, re.MULTILINE)) == num_bullets


@verifies("detectable_format:constrained_response", "none of the allowed answers was given")
def constrained_response(reply: str) -> bool:
    return any(answer in reply for answer in _ANSWERS)


@verifies("detectable_format:number_highlighted_sections", "there are too few highlighted sections")
def number_highlighted_sections(reply: str, num_highlights: float) -> bool:
    single = sum(bool(part.strip("*").strip()) for part in re.findall(r"\*[^\n\*]*\*", reply))
    double = re.findall(r"\*\*[^\n\*]*\*\*", reply)
    return single + sum(bool(part.removeprefix("**").removesuffix("**").strip()) for part in double) >= num_highlights


@verifies("detectable_format:multiple_sections", "there are too few marked sections")
def multiple_sections(reply: str, section_spliter: str, num_sections: float) -> bool:
    return len(re.split(rf"\s?{section_spliter.strip()}\s?\d+\s?", reply)) - 1 >= num_sections


@verifies("detectable_format:json_format", "the reply as a whole is not JSON")
def json_format(reply: str) -> bool:
    text = re.sub(r"^```(?:json|Json|JSON)?", "", reply.strip()).removesuffix("```").strip()
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@verifies("detectable_format:title", "the title in double angular brackets is missing")
def title(reply: str) -> bool:
    return any(found.lstrip("<").rstrip(">").strip() for found in re.findall(r"<<[^\n]+>>", reply))


@verifies("combination:two_responses", "there are not two different responses, set apart as asked")
def two_responses(reply: str) -> bool:
    parts = [part.strip() for part in reply.split("******")]
    said = [part for part in parts if part]
    return all(parts[1:-1]) and len(said) == 2 and said[0] != said[1]


@verifies("combination:repeat_prompt", "the request was not repeated first, word for word")
def repeat_prompt(reply: str, prompt_to_repeat: str) -> bool:
    return reply.strip().lower().startswith(prompt_to_repeat.strip().lower())


@verifies("startend:end_checker", "the reply does not end with the phrase that was asked for")
def end_checker(reply: str, end_phrase: str) -> bool:
    return reply.strip().strip('"').lower().endswith(end_phrase.strip().lower())


@verifies("startend:quotation", "the reply is not wrapped in double quotation marks")
def quotation(reply: str) -> bool:
    text = reply.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


@verifies("change_case:capital_word_frequency", "there are too many or too few words in capitals")
def capital_word_frequency(reply: str, capital_frequency: float, capital_relation: str) -> bool:
    return _holds(sum(word.isupper() for word in tokens(reply)), capital_frequency, capital_relation)


@verifies("change_case:english_capital", "the reply is not in English, or not in capitals")
def english_capital(reply: str) -> bool:
    return reply.isupper() and language_of(reply) in ("en", None)


@verifies("change_case:english_lowercase", "the reply is not in English, or not in lower case")
def english_lowercase(reply: str) -> bool:
    return reply.islower() and language_of(reply) in ("en", None)


@verifies("punctuation:no_comma", "a comma was used")
def no_comma(reply: str) -> bool:
    return "," not in reply
