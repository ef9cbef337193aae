"""How often Python looks for circles of objects."""

from __future__ import annotations

import gc

COLLECT_AFTER = 200_000
"""New objects that can be part of a circle: several batches of spans, none of which makes any."""


def collect_nothing() -> None:
    """Let Python look for no circles until `collect_seldom`: importing makes what stays, and takes a sixth less."""
    gc.disable()


def collect_seldom() -> None:
    """Let Python look for circles of objects less often: while batches are read it would find none, again and again.

    What the modules made stays, so that no search goes through it.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(COLLECT_AFTER, 20, 50)
