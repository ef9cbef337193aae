"""Texts of messages as people read them: Markdown, code in colours, and where a prompt's variables went.

Everything comes from outside. What Markdown allows of HTML stays text, nothing is fetched, images from elsewhere are
their own words, and only links that say http, https or mailto lead anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

MOST_CODE = 20_000
"""Characters of a block of code that get colours."""

MOST_MARKS = 40
MARK_LENGTHS = range(2, 2_000)
"""Characters of a variable's value that are looked for in the text."""

_SIGNS = re.compile(
    r"^ {0,3}(?:#{1,6} |[-*+] |\d{1,3}[.)] |> |```|~~~|\|.+\|)|\*\*\S|__\S|`[^`\n]+`|\]\(|~~\S", re.MULTILINE
)
"""Without any of these a text is the same with Markdown and without."""

_LINK = Markup('<a class="link" href="{}" title="{}" target="_blank" rel="noopener noreferrer nofollow">')
_SCHEMES = ("http", "https", "mailto")


class Marks:
    """The values of a prompt's variables, to be found again in the text that was made with them."""

    def __init__(self, variables: object) -> None:
        named: dict[str, str] = {}
        if isinstance(variables, Mapping):
            for name, value in variables.items():
                text = value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""
                if len(text.strip()) in MARK_LENGTHS and not isinstance(value, bool):
                    named.setdefault(text.strip(), str(name))
        self._named = dict(sorted(named.items(), key=lambda pair: -len(pair[0]))[:MOST_MARKS])
        # Digits and words stand alone: the value 7 is not the 7 of 2027.
        values = "|".join(rf"(?<!\w){re.escape(value)}(?!\w)" for value in self._named)
        self._any = re.compile(values) if values else None
        names = "|".join(re.escape(name) for name in sorted(set(self._named.values()), key=len, reverse=True))
        self._places = re.compile(rf"\$?\{{+\s*(?:{names})\s*\}}+") if names else None

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        return self._any is not None

    def text(self, text: str) -> Markup:
        """A text, escaped, with each value of a variable marked by the variable's name."""
        return Markup("").join(self._pieces(text))

    def template(self, text: str) -> Markup:
        """A template, escaped, with the places of its variables marked."""
        if self._places is None:
            return escape(text)
        out, at = Markup(""), 0
        for found in self._places.finditer(text):
            out += escape(text[at : found.start()]) + Markup("<mark>{}</mark>").format(found[0])
            at = found.end()
        return out + escape(text[at:])

    def _pieces(self, text: str) -> Iterator[Markup]:
        at = 0
        for found in self._any.finditer(text) if self._any is not None else ():
            yield escape(text[at : found.start()])
            yield Markup('<mark title="{}">{}</mark>').format(self._named[found[0]], found[0])
            at = found.end()
        yield escape(text[at:])


NO_MARKS = Marks(None)


def prose(text: str, marks: Marks = NO_MARKS) -> Markup | None:
    """A text as HTML, when Markdown makes anything of it; None when it reads the same as it is."""
    if not _SIGNS.search(text):
        return None
    return Markup(_reader().render(text, {"marks": marks}))  # noqa: S704 - every rule below escapes


@cache
def _reader() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 12}, renderer_cls=_Html)
    made.enable(["table", "strikethrough"])
    return made


class _Html(RendererHTML):
    """Draws Markdown without any element that could fetch, run or take a place in the page's own outline."""

    def text(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return str(_marks(env).text(tokens[idx].content))

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        source = str(tokens[idx].attrs.get("src", ""))
        words = tokens[idx].content or "image"
        shown = "" if source.startswith("data:") else f" {source}"
        return str(Markup('<span class="outside">[{}]{}</span>').format(words, shown))

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        target = str(tokens[idx].attrs.get("href", ""))
        if not _leads_out(target):
            return str(Markup('<span class="outside" title="{}">').format(target))
        return str(_LINK.format(target, target))

    def link_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        depth = 0
        for token in reversed(tokens[:idx]):
            if token.type == "link_close":
                depth += 1
            elif token.type == "link_open":
                if depth == 0:
                    return "</a>" if _leads_out(str(token.attrs.get("href", ""))) else "</span>"
                depth -= 1
        return "</span>"

    def heading_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f'<p class="h {tokens[idx].tag}">'

    def heading_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "</p>"

    def td_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "<td>"  # its alignment would be a style attribute, which our policy forbids

    def th_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "<th>"

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        return str(code(token.content, token.info.strip().split(" ")[0]))

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return str(code(tokens[idx].content, ""))

    def code_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return str(Markup("<code>{}</code>").format(_marks(env).text(tokens[idx].content)))


def code(text: str, language: str) -> Markup:
    """A block of code; in colours when its language is known and it is not long."""
    coloured = _in_colours(text, language.lower()) if language and len(text) <= MOST_CODE else None
    inside = escape(text) if coloured is None else coloured
    label = Markup('<span class="lang">{}</span>').format(language[:20]) if language else Markup("")
    return Markup('<div class="block">{}<pre class="code"><code>{}</code></pre></div>').format(label, inside)


def _in_colours(text: str, language: str) -> Markup | None:
    if len(language) > 20:
        return None
    from pygments import highlight  # 5 MB, for those who read code
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return None
    return Markup(highlight(text, lexer, HtmlFormatter(nowrap=True, classprefix="h-")))  # noqa: S704


def _marks(env: EnvType) -> Marks:
    found = env.get("marks")
    return found if isinstance(found, Marks) else NO_MARKS


def _leads_out(target: str) -> bool:
    try:
        return urlsplit(target).scheme.lower() in _SCHEMES
    except ValueError:
        return False
