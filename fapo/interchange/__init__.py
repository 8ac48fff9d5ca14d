"""Prompts and cases in the formats of other tools, where that loses nothing."""
