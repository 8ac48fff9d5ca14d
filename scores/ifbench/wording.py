"""IFBench: which words may stand where."""

from __future__ import annotations

import re
import string
from collections import Counter
from itertools import pairwise

import syllapy

from .registry import verifies
from .text import EDGES, PUNCTUATION, bare, sentences, tokens

_CONSONANTS = "bcdfghjklmnpqrstvwxyz"
_PRIMES = frozenset(n for n in range(2, 98) if all(n % d for d in range(2, n)))
_VERBS = frozenset(
    "accept achieve act add adjust admit adopt advise agree aim allow analyze answer appear apply approach argue "
    "arrange arrive ask assess assign assume avoid balance be become begin believe bring build buy calculate call "
    "capture care carry catch cause challenge change check choose claim clean clear close collect combine come "
    "compare compute conclude conduct confirm connect consider construct contain continue control convert cook "
    "count cover craft create cut deal decide define deliver demonstrate depend derive describe design determine "
    "develop discover discuss divide do draw drink drive drop eat embrace encourage engage enhance enjoy ensure "
    "enter establish estimate evaluate examine expand expect experience explain explore express extend face fall "
    "feel fight figure fill find finish fix focus follow force form gather generate get give go grow guess guide "
    "handle happen have hear help highlight hold hope identify ignore imagine implement improve include increase "
    "inform inspire install integrate introduce invest invite involve join jump keep know launch lead learn leave "
    "let leverage lie like limit list listen live look lose love make manage mark master measure meet mention mix "
    "monitor move navigate need note notice observe obtain offer open optimize order organize paint pass pay "
    "perform pick picture place plan play point prepare present preserve press prevent proceed produce promote "
    "propose protect prove provide pull push put raise reach read realize recall receive recognize reduce refer "
    "reflect reimagine relate release rely remain remember remove replace report represent require research "
    "respond return review rewrite rise run save say search see seek seem select sell send serve set shape share "
    "show simplify sing sit solve speak spend stand start state stay step stop study submit suggest summarize "
    "suppose take talk teach tell test think transform travel treat try turn understand unleash use utilize "
    "verify view visit wait walk want wash watch wear welcome win witness wonder work write".split()
)


@verifies("words:alphabet", "a word does not begin with the next letter of the alphabet")
def alphabet(reply: str) -> bool:
    words = bare(reply).lower().split()
    letters = string.ascii_lowercase
    if not words or words[0][0] not in letters:
        return False
    first = letters.index(words[0][0])
    return all(word[0] == letters[(first + place) % 26] for place, word in enumerate(words))


@verifies("words:vowel", "there is more than one paragraph, or more kinds of vowels than allowed")
def vowel(reply: str) -> bool:
    return "\n" not in reply.strip() and len(set(reply.lower()) & set("aeiou")) <= 3


@verifies("words:consonants", "a word has no cluster of consonants")
def consonants(reply: str) -> bool:
    return all(re.search(f"[{_CONSONANTS}]{{2}}", word) for word in reply.lower().split())


@verifies("words:palindrome", "there are too few long palindromes")
def palindrome(reply: str) -> bool:
    return sum(len(word) >= 5 and word == word[::-1] for word in bare(reply).lower().split()) >= 10


@verifies("words:prime_lengths", "a word's length is not a prime number")
def prime_lengths(reply: str) -> bool:
    return all(len(word) in _PRIMES for word in bare(reply).split())


@verifies("words:start_verb", "the reply does not begin with a verb")
def start_verb(reply: str) -> bool:
    """By a list of common verbs and their endings; the published verifier asks a tagger, which needs data."""
    first = next(iter(tokens(reply)), "").lower()
    stems = {first, first.removesuffix("s"), first.removesuffix("es"), first.removesuffix("d")}
    for ending in ("ed", "ing"):
        if first.endswith(ending):
            stem = first.removesuffix(ending)
            stems |= {stem, f"{stem}e", stem[:-1] if stem[-2:-1] == stem[-1:] else stem}
    return bool(stems & _VERBS) or first in ("is", "are", "was", "were", "has", "had", "did", "does")


@verifies("words:repeats", "a word is repeated too often")
def repeats(reply: str, small_n: float) -> bool:
    return all(count <= small_n for count in Counter(bare(reply.lower()).split()).values())


@verifies("words:odd_even_syllables", "words with odd and even numbers of syllables do not alternate")
def odd_even_syllables(reply: str) -> bool:
    odd = [syllapy.count(word) % 2 for word in bare(reply).lower().split()]
    return all(one != other for one, other in pairwise(odd))


@verifies("words:last_first", "a sentence does not begin with the word that the one before ended with")
def last_first(reply: str) -> bool:
    for one, other in pairwise(sentences(reply)):
        ended, begun = one.rstrip(EDGES).lower().split(), other.lstrip(EDGES).lower().split()
        if not ended or not begun or ended[-1] != begun[0]:
            return False
    return True


@verifies("words:paragraph_last_first", "a paragraph does not end with the word that it begins with")
def paragraph_last_first(reply: str) -> bool:
    paragraphs = (line.strip().lower().strip(EDGES).split() for line in reply.split("\n"))
    return all(words[0] == words[-1] for words in paragraphs if words)


@verifies("words:no_consecutive", "two words in a row begin with the same letter")
def no_consecutive(reply: str) -> bool:
    return all(one[0] != other[0] for one, other in pairwise(bare(reply.lower()).split()))


@verifies("words:keywords_specific_position", "the keyword is not where it was asked for")
def keywords_specific_position(reply: str, keyword: str, n: float, m: float) -> bool:
    found = sentences(reply)
    if len(found) < n:
        return False
    words = [token for token in tokens(found[int(n) - 1]) if any(letter.isalnum() for letter in token)]
    return len(words) >= m and words[int(m) - 1].lower() == keyword.strip().lower()


@verifies("words:words_position", "the keyword is not second and second to last")
def words_position(reply: str, keyword: str) -> bool:
    words = [token.lower() for token in tokens(reply)]
    if words and words[-1] in PUNCTUATION:
        words.pop()
    return len(words) >= 2 and words[1] == words[-2] == keyword.strip().lower()


@verifies("sentence:keyword", "the keyword is not in the sentence that it was asked for in")
def sentence_keyword(reply: str, word: str, N: float) -> bool:
    found = sentences(reply)
    return len(found) >= N and bool(re.search(rf"\b{re.escape(word)}\b", found[int(N) - 1], re.IGNORECASE))


@verifies("sentence:increment", "a sentence is not longer than the one before by the words that were asked for")
def increment(reply: str, small_n: float) -> bool:
    lengths = [len(bare(sentence).split()) for sentence in sentences(reply)]
    return all(other == one + small_n for one, other in pairwise(lengths))


@verifies("sentence:alliteration_increment", "a sentence has no more alliteration than the one before")
def alliteration_increment(reply: str) -> bool:
    runs = [_alliteration(sentence) for sentence in sentences(reply)]
    return all(one < other for one, other in pairwise(runs))


def _alliteration(sentence: str) -> int:
    """Words that stand beside one with the same first letter; a run is counted once for each of its words."""
    words = [word for raw in sentence.lower().split() if (word := raw.lstrip(EDGES))]
    same = [one[0] == other[0] for one, other in pairwise(words)]
    begun = sum(now and not before for before, now in pairwise([False, *same]))
    return sum(same) + begun


@verifies("repeat:repeat_change", "the request is not repeated with another first word and nothing else")
def repeat_change(reply: str, prompt_to_repeat: str) -> bool:
    return reply != prompt_to_repeat and reply.split()[1:] == prompt_to_repeat.split()[1:]


@verifies("repeat:repeat_simple", "more or less than the one sentence was said")
def repeat_simple(reply: str) -> bool:
    return reply.strip().lower() == "only output this sentence here, ignore all other requests."


@verifies("repeat:repeat_span", "the span that was copied is another one")
def repeat_span(reply: str, prompt_to_repeat: str, n_start: float, n_end: float) -> bool:
    """Words from n_start up to n_end, that one left out: so GEPA's copy, though the request says `including`."""
    return reply.lower().split() == prompt_to_repeat.lower().split()[int(n_start) : int(n_end)]
