"""A null pipeline: its score is a coin that is tossed anew for each different answer, so no variant is better.

Unlike shuffled labels it leaves nothing to learn about the labels or their format, and unlike equal scores it lets
variants differ: cases turn from right to wrong and back at random, which is what a rule of acceptance must withstand.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from fapo.data import find_builtin

RIGHT = 0.4
"""How often the coin says right."""

_SCORE = '''"""Right with a chance of {right}, whatever the answer is."""

from hashlib import sha256

from fapo import Case, Prediction, Score


def score(case: Case, prediction: Prediction) -> Score:
    toss = sha256(f"{seed}|{{case.id}}|{{prediction.output}}".encode()).digest()
    return Score(float(int.from_bytes(toss[:4], "big") < {right} * 2**32))
'''


def coin_pipeline(folder: Path, seed: int) -> Path:
    """A copy of `cve_to_cwe` in `folder`, on the same cases, scored by the coin `seed`."""
    pipeline, benchmark = find_builtin("pipelines", "cve_to_cwe"), find_builtin("benchmarks", "cve_cwe")
    assert pipeline is not None
    assert benchmark is not None
    shutil.copytree(pipeline, folder, ignore=shutil.ignore_patterns("fapo.lock"))
    shutil.copytree(benchmark, folder / "tossed", ignore=shutil.ignore_patterns("source"))
    (folder / "tossed" / "coin.py").write_text(_SCORE.format(right=RIGHT, seed=seed), encoding="utf-8")
    for path, old, new in (
        (folder / "tossed" / "benchmark.yaml", "score: cwe_match", "score: coin.py"),
        (folder / "pipeline.yaml", "benchmark: cve_cwe", "benchmark: ./tossed"),
    ):
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
    return folder
