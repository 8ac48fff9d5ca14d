"""IFBench: what a reply has to look like."""

from __future__ import annotations

import re
from itertools import pairwise

from emoji import is_emoji

from .registry import verifies
from .text import EDGES, bare, sentences, tokens

_OPENING = {")": "(", "]": "[", "}": "{"}


@verifies("format:parentheses", "brackets are not nested deeply enough")
def parentheses(reply: str) -> bool:
    open_now: list[str] = []
    deepest = 0
    for letter in reply:
        if letter in "([{":
            open_now.append(letter)
            deepest = max(deepest, len(open_now))
        elif letter in _OPENING:
            if not open_now or open_now[-1] != _OPENING[letter]:
                open_now, deepest = [], 0
            elif deepest >= 5:
                return True
            else:
                open_now.pop()
    return False


@verifies("format:quotes", "quotes are not nested deeply enough, or do not alternate")
def quotes(reply: str) -> bool:
    open_now: list[str] = []
    deepest = 0
    for letter in reply:
        if open_now and letter == open_now[-1]:
            open_now.pop()
            if deepest - len(open_now) >= 3:
                return True
        elif letter in "\"'":
            open_now.append(letter)
            deepest = max(deepest, len(open_now))
    return False


@verifies("format:options", "the reply is not exactly one of the options")
def options(reply: str, options: str) -> bool:
    mark = "/" if "/" in options else "or" if "or" in options else ","
    offered = [option.strip() for option in options.split(mark)]
    if re.match(r"\W*[aA]\W*[bB]\W*[cC]\W*", options):
        return reply in offered
    return reply.strip(EDGES).lower() in [option.strip(EDGES).lower() for option in offered]


@verifies("format:newline", "words share a line")
def newline(reply: str) -> bool:
    lines = bare(reply).strip().split("\n")
    return len([line for line in lines if line]) == len(bare(reply).split())


@verifies("format:emoji", "a sentence does not end with an emoji")
def emoji(reply: str) -> bool:
    """An emoji after the sentence's full stop begins the next one, and counts."""
    found = [bare(sentence).strip() for sentence in sentences(reply)]
    for place, sentence in enumerate(found):
        if not sentence:
            return False
        if not any(map(is_emoji, sentence[-2:])):
            after = found[place + 1] if place + 1 < len(found) else ""
            if not after or not is_emoji(after[0]):
                return False
    return True


@verifies("format:line_indent", "a line is not indented further than the one before")
def line_indent(reply: str) -> bool:
    lines = [line for line in reply.split("\n") if line.strip()]
    indents = [len(line) - len(line.lstrip(" ")) for line in lines]
    return all(one < other for one, other in pairwise(indents))


@verifies("format:quote_unquote", "a quoted phrase is not followed by an explanation")
def quote_unquote(reply: str) -> bool:
    text = "".join(reply.replace("“", '"').replace("”", '"').replace("'\"'", "").split())
    rest = text.strip("0123456789!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    return '""' not in text and not rest.endswith('"')


@verifies("format:list", "the items do not have the marker that was asked for")
def marked_list(reply: str, sep: str) -> bool:
    return reply.count(sep) >= 2


@verifies("format:thesis", "no thesis in italics, with text after it, was found")
def thesis(reply: str) -> bool:
    opened = max(reply.find("<i>"), -1)
    opened = opened if opened >= 0 else reply.find("<em>")
    if opened < 0:
        return False
    rest = reply[opened:]
    closed = rest.find("</i>")
    closed = closed if closed >= 0 else rest.find("</em>")
    return closed >= 0 and bool(rest[3:closed].strip()) and bool(rest[closed + 4 :].strip())


@verifies("format:sub-bullets", "a bullet point has no sub-bullet")
def sub_bullets(reply: str) -> bool:
    return all("-" in bullet for bullet in reply.split("*")[1:])


@verifies("format:no_bullets_bullets", "it is not sentences first and then bullet points")
def no_bullets_bullets(reply: str) -> bool:
    said = bullets = 0
    in_sentences = True
    for line in reply.split("\n"):
        if line.strip().startswith("*"):
            in_sentences = False
            if said < 2:
                return False
            bullets += 1
        elif in_sentences:
            found = sentences(line.strip())
            in_sentences = bool(found)
            said += len(found)
        else:
            return False
    return bullets >= 2


@verifies("format:title_case", "a word is not in title case")
def title_case(reply: str) -> bool:
    """A word passes as the published verifier has it: what is of mixed case is let through."""
    words = [word for word in tokens(reply) if word[0].isalpha()]
    return not any(word[0].islower() and (len(word) == 1 or word[1:].islower() or word[1:].isupper()) for word in words)


@verifies("format:output_template", "a part of the template is missing")
def output_template(reply: str) -> bool:
    return all(part in reply for part in ("My Answer:", "My Conclusion:", "Future Outlook:"))


@verifies("format:no_whitespace", "there is white space")
def no_whitespace(reply: str) -> bool:
    return not any(letter.isspace() for letter in reply)
