"""A question, a search in the handbook, an answer from the pages that were found."""

import json
from pathlib import Path

import bm25s

from fapo import Prediction

PAGES = [json.loads(line) for line in (Path(__file__).parent / "resources" / "handbook.jsonl").open()]
INDEX = bm25s.BM25()
INDEX.index(
    bm25s.tokenize([f"{page['title']} {page['text']}" for page in PAGES], stopwords="en", show_progress=False),
    show_progress=False,
)


def search(query, k):
    """The best k pages for a query, the best first."""
    found, _ = INDEX.retrieve(bm25s.tokenize([query], stopwords="en", show_progress=False), k=k, show_progress=False)
    return [f"{PAGES[at]['title']}: {PAGES[at]['text']}" for at in found[0]]


async def run(inputs, ctx):
    question = inputs["question"]
    pages = await ctx.call("search", search, question, k=ctx.params.k)
    answer = await ctx.llm("answer", question=question, pages=pages)
    return Prediction(output=answer, evidence=tuple(page.partition(": ")[0] for page in pages))
