"""fapo optimizes a multi-step LLM pipeline with a coding agent and proves the gain on held-out data."""

from fapo.records import Case, Prediction, Score

__all__ = ["Case", "Prediction", "Score", "__version__"]
__version__ = "0.1.0"
