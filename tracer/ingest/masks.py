"""Built-in masks: keys, secrets, e-mail addresses, card numbers. The SDK has the same; a test holds them together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

ALL = ("keys", "secrets", "emails", "cards")

# A word's start. Texts inside JSON have `\\n` for a line's end: its letter is no part of the word that follows.
_START = r"(?:(?<![A-Za-z0-9_.%+\\-])|(?<=\\[nrt]))"
# Every repetition is bounded, or can begin at one place of a run only: no text makes a search slow.
_KEYS = re.compile(
    rf"(?:{_START}|(?<=\\\\))" + r"(?:(?:sk|pk|rk)[-_](?=[A-Za-z_-]{0,60}[0-9])[A-Za-z0-9_-]{16,400}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{20,})"
    r"|xox[abeprs]-[A-Za-z0-9-]{10,}"
    r"|AIza[0-9A-Za-z_-]{30,}"
    r"|hf_[A-Za-z0-9]{20,}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*)"
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)"
    r"|(?<=\bBearer )[A-Za-z0-9._~+/-]{12,}=*"
)

_SECRETS = re.compile(
    r"""(?P<name>["'](?:[A-Za-z0-9_-]{0,60}?)(?:password|passwd|passphrase|secret|api[_-]?key|private[_-]?key|authorization"""
    r"""|(?:access|auth|refresh|id|api|bearer|session)[_-]?token)["']\s*:\s*)"""
    r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""",
    re.IGNORECASE,
)

_EMAILS = re.compile(_START + r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])")
_CARDS = re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d.-])")


def _hide_keys(text: str) -> str:
    return _KEYS.sub("[masked key]", text)


def _hide_secrets(text: str) -> str:
    return _SECRETS.sub(lambda found: f'{found["name"]}"[masked]"', text)


def _hide_emails(text: str) -> str:
    return _EMAILS.sub("[masked e-mail]", text)


def _hide_cards(text: str) -> str:
    return _CARDS.sub(lambda found: "[masked card]" if _luhn(found[0]) else found[0], text)


def _luhn(text: str) -> bool:
    """Whether the digits have a card number's check digit."""
    digits = [int(letter) for letter in text if letter.isdigit()]
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0 and len(set(digits)) > 1


HIDE: Mapping[str, Callable[[str], str]] = dict(
    zip(ALL, (_hide_keys, _hide_secrets, _hide_emails, _hide_cards), strict=True)
)
"""Each mask by name: a text with what it found replaced by `[masked …]`."""
