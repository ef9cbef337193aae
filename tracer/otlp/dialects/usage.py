"""Tokens of one call out of what was sent: which count is which, and whether cached tokens are counted in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tracer.otlp.dialects import values
from tracer.otlp.dialects.dialect import Field
from tracer.otlp.dialects.reading import Usage

NAMES: Final[Mapping[Field, tuple[str, ...]]] = {
    Field.INPUT_TOKENS: ("input_tokens", "prompt_tokens", "inputTokens", "promptTokens", "input", "prompt"),
    Field.OUTPUT_TOKENS: (
        "output_tokens",
        "completion_tokens",
        "outputTokens",
        "completionTokens",
        "output",
        "completion",
    ),
    Field.TOTAL_TOKENS: ("total_tokens", "totalTokens", "total"),
    Field.CACHED_INPUT: (
        "cache_read_input_tokens",
        "cached_input_tokens",
        "input_cached_tokens",
        "cacheReadInputTokens",
        "cachedInputTokens",
        "cached_tokens",
        "cache_read_tokens",
        "cachedContentTokens",
        "input_cache_read",
        "prompt_cached_tokens",
        "input_tokens_details.cached_tokens",
        "prompt_tokens_details.cached_tokens",
        "input_token_details.cache_read",
    ),
    Field.CACHE_WRITE: (
        "cache_creation_input_tokens",
        "cacheWriteInputTokens",
        "cacheCreationInputTokens",
        "cache_write_tokens",
        "input_cache_creation",
        "prompt_cache_creation_tokens",
        "input_token_details.cache_creation",
    ),
    Field.REASONING: (
        "reasoning_tokens",
        "reasoningTokens",
        "thoughtsTokens",
        "thinking_tokens",
        "output_reasoning_tokens",
        "output_reasoning",
        "output_tokens_details.reasoning_tokens",
        "completion_tokens_details.reasoning_tokens",
        "completion_reasoning_tokens",
        "output_token_details.reasoning",
    ),
    Field.AUDIO_INPUT: (
        "input_audio_tokens",
        "input_audio",
        "prompt_tokens_details.audio_tokens",
        "input_tokens_details.audio_tokens",
        "input_token_details.audio",
    ),
    Field.AUDIO_OUTPUT: (
        "output_audio_tokens",
        "output_audio",
        "completion_tokens_details.audio_tokens",
        "output_tokens_details.audio_tokens",
        "output_token_details.audio",
    ),
}
"""Names of the counts in an object that holds all of them; a dot leads into an object inside."""

_INSIDE: Final = '"usage":'
_HEAD: Final = 4_000
_decode = json.JSONDecoder().raw_decode
_COUNTS: Final = slice(int(Field.INPUT_TOKENS), int(Field.AUDIO_OUTPUT) + 1)
_USAGE: Final = int(Field.USAGE)
_PROVIDER: Final = int(Field.PROVIDER)
_EXCLUSIVE: Final = int(Field.EXCLUSIVE)
_NOTHING: Final = [None] * 8


def usage_of(found: list[Any]) -> Usage | None:
    """The tokens among a span's facts (by field), or None when none were sent.

    `input` ends up counting cached tokens in: they are added where they can't be part of what was sent, namely when
    there are more of them, when only so the sent total adds up, or when the convention is known to leave them out
    (openlit for Anthropic's models; an object with a class of its own for each, `input` beside `input_cached_tokens`).
    """
    counts = found[_COUNTS]
    if found[_USAGE] is not None:
        sent = found[_USAGE]
        counts = [_named(sent, field) if count is None else count for count, field in zip(counts, NAMES, strict=True)]
    if counts == _NOTHING:
        return None
    asked, answered, total, cached, written, reasoning, heard, spoken = counts
    apart = (cached or 0) + (written or 0)
    if apart and asked is not None:
        adds_up = total is not None and answered is not None and total == asked + answered + apart
        left_out = found[_EXCLUSIVE] and str(found[_PROVIDER]).lower() == "anthropic"
        if found[_USAGE] is not None and "input" in found[_USAGE]:
            left_out = total != asked + (answered or 0)
        if apart > asked or adds_up or left_out:
            asked += apart
    known = (asked or 0) + (answered or 0)
    if total is None or total < known:
        total = known if asked is not None or answered is not None else total
    audio = (heard or 0) + (spoken or 0) if heard is not None or spoken is not None else None
    return Usage(asked, answered, total, cached, written, reasoning, audio, spoken)


def usage_inside(value: object) -> dict[str, Any] | None:
    """The last object under `usage` in a JSON text: token counts that only the answer's own JSON has."""
    if not isinstance(value, str) or value[:64].lstrip()[:1] not in ("{", "["):
        return None
    place = value.rfind(_INSIDE)
    if place < 0:
        return None
    rest = value[place + len(_INSIDE) : place + _HEAD].lstrip()
    try:
        usage = _decode(rest)[0] if rest[:1] == "{" else None
    except (ValueError, RecursionError):
        return None
    return usage if isinstance(usage, dict) else None


def _named(sent: Mapping[str, Any], field: Field) -> int | None:
    for name in NAMES[field]:
        value: Any = sent.get(name)
        if value is None and "." in name:
            outer, _, inner = name.partition(".")
            group = sent.get(outer)
            value = group.get(inner) if isinstance(group, dict) else None
        count = values.count(value)
        if count is not None:
            return count
    return None
