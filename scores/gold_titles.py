"""Whether all gold titles are among the documents that a prediction names: HoVer's retrieval, as GEPA scores it.

`expected` is {"titles": [...]}; `prediction.evidence` holds titles, or documents as `title | text`. Titles are compared
by SQuAD's normalisation. How many documents may be named is the benchmark's guard. Source: gepa-artifact, hover_utils.
"""

import re
import string
import unicodedata

from fapo import Case, Prediction, Score

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(document: str) -> str:
    """The normalised title of a document."""
    title = document.partition(" | ")[0]
    plain = unicodedata.normalize("NFD", title).lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def score(case: Case, prediction: Prediction) -> Score:
    gold = {normalized(str(title)) for title in case.expected["titles"]}
    named = {normalized(str(document)) for document in prediction.evidence}
    found = len(gold & named)
    breakdown = {"partial_recall": found / len(gold), "found": float(found), "named": float(len(named))}
    missing = len(gold) - found
    told = f"{missing} of {len(gold)} documents that are needed are not among the {len(named)} that were named"
    return Score(float(not missing), breakdown, told if missing else "")
