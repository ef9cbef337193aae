"""Time in the shop: pauses that stand for far-away systems and reading people."""

import time

speed = 1.0
"""How fast time passes; 1 is human speed, and the only speed with a real model."""


def pause(seconds: float) -> None:
    """Take the time that such a system or person takes."""
    time.sleep(seconds / speed)
