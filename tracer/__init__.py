"""Stepscope's service: records, stores and shows what an LLM chain really did."""

__version__ = "0.1.0"
