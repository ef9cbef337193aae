"""What the stand-in model says: one module for each example chain, and `plain` for everything else."""

from collections.abc import Callable

from examples.script import chat, plain, research, sql, support, translate
from examples.script.base import Asked, Reply

Part = Callable[[Asked], Reply | None]

PARTS: tuple[Part, ...] = (support.play, research.play, translate.play, chat.play, sql.play)


def answer(asked: Asked) -> Reply:
    """Find the reply to a request; the same request always gets the same reply."""
    for part in PARTS:
        reply = part(asked)
        if reply is not None:
            return reply
    return plain.play(asked)
