"""Stepscope's recorder: one line to see what an LLM chain really did.

import stepscope

@stepscope.step
def answer(question: str) -> str: ...
"""

from __future__ import annotations

from ._api import flush, init, shutdown, status
from ._context import context, metadata, session, tags, user
from ._decorate import StepMaker, start_step, step
from ._instrument import from_environment, instrument
from ._propagate import propagate
from ._scores import score
from ._status import Status
from ._steps import Step, current_step, current_trace_url
from ._version import __version__
from ._w3c import continue_trace, traceparent

__all__ = [
    "Status",
    "Step",
    "StepMaker",
    "__version__",
    "context",
    "continue_trace",
    "current_step",
    "current_trace_url",
    "flush",
    "init",
    "instrument",
    "metadata",
    "propagate",
    "score",
    "session",
    "shutdown",
    "start_step",
    "status",
    "step",
    "tags",
    "traceparent",
    "user",
]

from_environment()
del from_environment
