"""A question that needs two abstracts: search, summarize, ask again with what was found, summarize, answer."""

import json

import bm25s
import Stemmer

from fapo import Prediction, corpus_dir

STEMMER = Stemmer.Stemmer("english")


def tokens(texts):
    return bm25s.tokenize(texts, stopwords="en", stemmer=STEMMER, show_progress=False)


def open_index():
    """BM25 over the benchmark's corpus, documents as `title | sentences`: the index that came with it, or one now."""
    if (corpus_dir() / "index").is_dir():
        return bm25s.BM25.load(str(corpus_dir() / "index"), mmap=True, load_corpus=True)
    lines = (corpus_dir() / "abstracts.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [f"{row['title']} | {' '.join(row['text'])}" for row in map(json.loads, lines)]
    index = bm25s.BM25(k1=0.9, b=0.4, corpus=[{"text": text} for text in texts])
    index.index(tokens(texts), show_progress=False)
    return index


INDEX = open_index()


def search(query, k):
    """The best abstracts for a query, at most k, and only those that share a word with it."""
    k = min(k, INDEX.scores["num_docs"])
    found, scores = INDEX.retrieve(tokens([query]), k=k, show_progress=False)
    return [document["text"] for document, score in zip(found[0], scores[0], strict=True) if score > 0]


def titles(passages):
    """The titles of passages, each once, in order."""
    return tuple(dict.fromkeys(passage.partition(" | ")[0] for passage in passages))


async def run(inputs, ctx):
    question, k = inputs["question"], ctx.params.k
    hop1 = await ctx.call("retrieve_hop1", search, question, k=k)
    summary_1 = await ctx.llm("summarize1", question=question, passages=hop1)
    query = await ctx.llm("create_query_hop2", question=question, summary_1=summary_1)
    hop2 = await ctx.call("retrieve_hop2", search, query, k=k)
    summary_2 = await ctx.llm("summarize2", question=question, context=summary_1, passages=hop2)
    answer = await ctx.llm("final_answer", question=question, summary_1=summary_1, summary_2=summary_2)
    return Prediction(output=answer, evidence=titles(hop1 + hop2))
