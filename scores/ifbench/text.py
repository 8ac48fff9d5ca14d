"""Words and sentences, as the published verifiers take them, without data to download.

Libraries are loaded with the module and not by the first reply: scoring one has a time limit, and an import that is
interrupted leaves them broken.
"""

from __future__ import annotations

import re
import string
from typing import Any

import langdetect
from langdetect.detector_factory import init_factory
from nltk.tokenize.destructive import NLTKWordTokenizer

langdetect.DetectorFactory.seed = 0
init_factory()
_TOKENIZER = NLTKWordTokenizer()

PUNCTUATION = string.punctuation
EDGES = PUNCTUATION + " "
_BARE = str.maketrans("", "", PUNCTUATION)

_TITLES = r"(?:Mr|St|Mrs|Ms|Dr)"
_COMPANIES = r"(?:Inc|Ltd|Jr|Sr|Co)"
_STARTERS = r"Mr|Mrs|Ms|Dr|Prof|Capt|Cpt|Lt|Wherever|(?:He|She|It|They|Their|Our|We|But|However|That|This)\s"
_DOT, _END = "\ue000", "\ue001"  # a dot that ends nothing, and an end
_DOTS: tuple[tuple[str, Any], ...] = (
    (rf"({_TITLES})\.", rf"\1{_DOT}"),
    (r"\.(com|net|org|io|gov|edu|me)", rf"{_DOT}\1"),
    (r"([0-9])\.([0-9])", rf"\1{_DOT}\2"),
    (r"\.{2,}", lambda match: _DOT * len(match.group()) + _END),
    (r"Ph\.D\.", f"Ph{_DOT}D{_DOT}"),
    (r"\s([A-Za-z])\. ", rf" \1{_DOT} "),
    (rf"([A-Z]\.[A-Z]\.(?:[A-Z]\.)?) ((?:{_STARTERS}))", rf"\1{_END} \2"),
    (r"([A-Za-z])\.([A-Za-z])\.([A-Za-z])\.", rf"\1{_DOT}\2{_DOT}\3{_DOT}"),
    (r"([A-Za-z])\.([A-Za-z])\.", rf"\1{_DOT}\2{_DOT}"),
    (rf" ({_COMPANIES})\. ((?:{_STARTERS}))", rf" \1{_END} \2"),
    (rf" ({_COMPANIES})\.", rf" \1{_DOT}"),
    (r" ([A-Za-z])\.", rf" \1{_DOT}"),
    (r"\.”", "”."),
    (r'\."', '".'),
    (r'!"', '"!'),
    (r'\?"', '"?'),
    (r"([.?!])", rf"\1{_END}"),
)

STOP_WORDS = frozenset(
    "a about above after again against ain all am an and any are aren as at be because been before being below between "
    "both but by can couldn d did didn do does doesn doing don down during each few for from further had hadn has hasn "
    "have haven having he her here hers herself him himself his how i if in into is isn it its itself just ll m ma me "
    "mightn more most mustn my myself needn no nor not now o of off on once only or other our ours ourselves out over "
    "own re s same shan she should shouldn so some such t than that the their theirs them themselves then there these "
    "they this those through to too under until up ve very was wasn we were weren what when where which while who whom "
    "why will with won wouldn y you your yours yourself yourselves".split()
)


def sentences(text: str) -> list[str]:
    """Sentences by their ends; dots of titles, abbreviations, numbers and addresses end none."""
    marked = f" {text}  ".replace("\n", " ")
    for pattern, replacement in _DOTS:
        marked = re.sub(pattern, replacement, marked)
    parts = [part.strip() for part in marked.replace(_DOT, ".").split(_END)]
    return parts[:-1] if parts and not parts[-1] else parts


def bare(text: str) -> str:
    """Without ASCII punctuation."""
    return text.translate(_BARE)


def count_words(text: str) -> int:
    return len(re.findall(r"\w+", text))


def tokens(text: str) -> list[str]:
    """Words and punctuation in the Penn Treebank's way, sentence by sentence."""
    return [token for part in re.split(r"(?<=[.!?])\s+", text) for token in _TOKENIZER.tokenize(part)]


def language_of(text: str) -> str | None:
    """An ISO 639-1 code, always the same one for the same text; None where nothing can be told."""
    try:
        return str(langdetect.detect(text))
    except langdetect.LangDetectException:
        return None
