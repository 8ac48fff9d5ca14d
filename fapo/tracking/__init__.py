"""Runs and evaluations in the tools in which results live already: MLflow, Weights & Biases, OpenTelemetry."""
