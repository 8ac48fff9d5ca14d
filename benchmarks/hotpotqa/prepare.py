"""HotpotQA as GEPA splits it: the train split in file order, cut 40/40/20, then samples with seed 1 of each part."""

import random

COUNTS = {"test": 300, "validation": 300, "train": 150}


def cases(rows):
    """Source `train` to splits. Raises KeyError where a column is missing."""
    train = rows["train"]
    first, second = int(0.4 * len(train)), int(0.8 * len(train))
    parts = {"test": train[:first], "validation": train[first:second], "train": train[second:]}
    return {split: [_case(row) for row in _sampled(part, COUNTS[split])] for split, part in parts.items()}


def corpus(rows, splits):
    """Gold and distractors: the paragraphs that come with the chosen questions, ten each."""
    chosen = {case["id"] for split in splits.values() for case in split}
    for row in rows["train"]:
        if row["id"] in chosen:
            context = row["context"]
            for title, text in zip(context["title"], context["sentences"], strict=True):
                yield {"title": title, "text": text}


def _sampled(part, count):
    return part if len(part) <= count else random.Random(1).sample(part, count)


def _case(row):
    titles = list(dict.fromkeys(str(title) for title in row["supporting_facts"]["title"]))
    return {
        "id": str(row["id"]),
        "inputs": {"question": str(row["question"])},
        "expected": str(row["answer"]),
        "metadata": {"type": str(row["type"]), "level": str(row["level"]), "titles": titles},
    }
