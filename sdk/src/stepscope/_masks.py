"""Built-in masks: keys, secrets, e-mail addresses and card numbers, hidden before anything leaves the process.

Each text is first looked through for what a mask could find; only what is suspect is searched in earnest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from . import _guard

ALL = ("keys", "secrets", "emails", "cards")
DEFAULT = ("keys", "secrets")

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
# What a key can't be without, each beginning with a letter that is rare enough to be looked for alone, at the speed of
# memory: a text without it is done with in nanoseconds.
_DASHED = re.compile(r"-(?:----BEGIN|(?<=[spr]k-)|(?<=glpat-)|(?<=xox[abeprs]-))")
_UNDERSCORED = re.compile(r"_(?:(?<=[spr]k_)|(?<=gh[pousr]_)|(?<=github_pat_)|(?<=hf_))")
_CAPITAL = re.compile(r"A(?:KIA|SIA|Iza)")

_SECRETS = re.compile(
    r"""(?P<name>["'](?:[A-Za-z0-9_-]{0,60}?)(?:password|passwd|passphrase|secret|api[_-]?key|private[_-]?key|authorization"""
    r"""|(?:access|auth|refresh|id|api|bearer|session)[_-]?token)["']\s*:\s*)"""
    r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""",
    re.IGNORECASE,
)
# The end of a secret's name, its quotation mark and colon; a colon that stands apart could follow one.
_SECRET_SIGN = re.compile(
    r""":(?:(?<=\s:)|(?<=["']:)(?i:(?<=key.:)|(?<=token.:)|(?<=secret.:)|(?<=password.:)|(?<=passwd.:)"""
    r"""|(?<=passphrase.:)|(?<=authorization.:)))"""
)

_EMAILS = re.compile(_START + r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])")
_CARDS = re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d.-])")


class Masks:
    """The masks that are on."""

    __slots__ = ("_apply", "_cards", "_emails", "_keys", "_names", "_secrets", "names")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._keys, self._secrets, self._emails, self._cards = (name in names for name in ALL)
        self._apply: list[Callable[[str], str]] = [
            hide
            for name, hide in zip(ALL, (_hide_keys, _hide_secrets, _hide_emails, _hide_cards), strict=True)
            if name in names
        ]
        self._names: dict[str, bool] = {}

    def suspect(self, text: str) -> bool:
        """Whether a mask could find something; cheap, and rather yes than no."""
        if self._keys and (
            ("-" in text and _DASHED.search(text) is not None)
            or ("_" in text and _UNDERSCORED.search(text) is not None)
            or ("A" in text and _CAPITAL.search(text) is not None)
            or ("J" in text and "eyJ" in text)
            or ("B" in text and "Bearer " in text)
        ):
            return True
        if self._secrets and ":" in text and ('"' in text or "'" in text) and _SECRET_SIGN.search(text) is not None:
            return True
        return (self._emails and "@" in text) or (self._cards and _CARDS.search(text) is not None)

    def suspect_pairs(self, pairs: dict[str, str]) -> bool:
        """Whether a mask could find something in the JSON text of a flat dict of texts."""
        known = self._names
        for name in pairs:
            found = known.get(name)
            if found is None:
                found = self.suspect(f'"{name}":')
                if len(known) > 1000:  # names made at run time must not pile up
                    known.clear()
                known[name] = found
            if found:
                return True
        return self.suspect("\n".join(pairs.values()))

    def hide(self, text: str) -> str:
        """Return the text with what the masks found replaced by `[masked …]`."""
        for apply in self._apply:
            text = apply(text)
        return text


def chosen(names: Iterable[str] | bool | None) -> tuple[str, ...]:
    """Read a choice of masks: names, True (all), False (none), None (the default ones)."""
    if names is None:
        return DEFAULT
    if isinstance(names, bool):
        return ALL if names else ()
    wanted = names.replace(",", " ").split() if isinstance(names, str) else [str(name) for name in names]
    unknown = [name for name in wanted if name not in ALL]
    if unknown:
        _guard.warn("masks", f"stepscope: there is no mask {unknown[0][:100]!r}; masks are {', '.join(ALL)}.")
    return tuple(name for name in ALL if name in wanted)


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
