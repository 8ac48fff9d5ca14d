"""fapo optimizes a multi-step LLM pipeline with a coding agent and proves the gain on held-out data."""

from fapo.pipeline.corpus import corpus_dir
from fapo.pipeline.tracing import step
from fapo.records import Case, Prediction, Score

__all__ = ["Case", "Prediction", "Score", "__version__", "corpus_dir", "step"]
__version__ = "0.1.0"
