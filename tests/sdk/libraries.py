"""Libraries that the SDK works with: a test that needs one says so, and is skipped by name where it is missing."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

from tests.needs import missing


def library(name: str) -> Any:
    """Import a module; where its package isn't installed, return what ends any test that uses it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(name)
    except ImportError:
        return None


def need(package: str, *modules: Any) -> None:
    """End the test where one of the modules could not be imported."""
    if any(module is None for module in modules):
        missing(f"the package {package}")
