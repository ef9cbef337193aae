"""How clients write providers and models: local runners, prefixes, dates and the spellings behind them."""

from __future__ import annotations

import re
from typing import Final

MAX_NAME: Final = 300
"""Characters: no model or provider has a longer name, and no pattern is tried on one."""

ALIASES: Final = {
    "amazon": "aws",
    "bedrock": "aws",
    "gcp": "google",
    "gemini": "google",
    "vertex": "google",
    "vertexai": "google",
    "googlegla": "google",
    "googlevertex": "google",
    "googlegenai": "google",
    "awsbedrock": "aws",
    "amazonbedrock": "aws",
    "bedrockconverse": "aws",
    "coherechat": "cohere",
    "grok": "x-ai",
    "microsoft": "azure",
    "azureopenai": "azure",
    "azureai": "azure",
    "mistralai": "mistral",
    "kimi": "moonshotai",
    "voyage": "voyageai",
}
"""Squeezed names of providers -> the price data's ids, beside those that differ by punctuation or a final `ai` only."""

LOCAL: Final = (
    "ollama",
    "llamacpp",
    "llamafile",
    "lmstudio",
    "vllm",
    "localai",
    "sglang",
    "gpt4all",
    "transformers",
    "mlx",
    "koboldcpp",
    "xinference",
)
"""Programs that run a model on one's own machine: what that costs no price list knows."""

GENERIC: Final = frozenset({"openai", "litellm"})
"""Providers that clients name for whatever answers their protocol: the model's name says more."""

CLOSED: Final = frozenset({"openai", "anthropic", "google", "x-ai", "cohere", "voyageai", "perplexity", "aws"})
"""Makers whose models are sold at the same price wherever they are sold. Others' are run by anyone, at any price."""

FAMILIES: Final = (
    ("text-embedding-", "openai"),
    ("ft:", "openai"),
    ("chatgpt-", "openai"),
    ("computer-use-", "openai"),
    ("sonar", "perplexity"),
    ("embed-", "cohere"),
    ("rerank-", "cohere"),
)
"""Beginnings of model names -> maker, for those that the price data does not tell by the name alone."""

OTHERS_SELL: Final = (("openai", "gpt-oss"), ("deepseek", "distill"))
"""(maker, part of a model's name): weights that are given away, so their maker's name tells no price."""

GIVE_AWAY: Final = frozenset({"deepseek-ai", "mistralai", "moonshotai", "minimaxai", "zai-org", "xai-org"})
"""Prefixes under which makers publish weights: the model may run anywhere, so its maker's price does not hold."""

_SIZE_TAG = re.compile(r":(?:latest$|e?\d+(?:\.\d+)?[bm](?:$|[-_]))")
_VARIANT = re.compile(r"/.*:[a-z]+$")
_BEDROCK = re.compile(r"^(?:[a-z]{2,6}(?:-gov)?\.)?[a-z][a-z0-9]*\.[a-z]")
_DATE = re.compile(r"(?:[-@](?:20\d\d-\d\d-\d\d|20\d{6})|@[a-z0-9.-]+)$")
_RESOURCE = re.compile(r"(?:^|/)models/")
_PREFIX = re.compile(r"([a-z][a-z0-9_.-]*)(?:/|:(?=[a-z]))(.+)$", re.DOTALL)
"""A colon before a digit is a version (`…-v1:0`), not the end of a provider."""
_PUNCTUATION = re.compile(r"[^a-z0-9]+")


def squeezed(name: str) -> str:
    """A name in small letters and digits alone."""
    return _PUNCTUATION.sub("", name.lower())


def is_local(provider: str) -> bool:
    """True for a program that runs models on one's own machine."""
    word = squeezed(provider)
    return word == "tgi" or any(name in word for name in LOCAL)


def has_size_tag(model: str) -> bool:
    """True for names such as `llama3:8b` and `mistral:latest`, which only local runners give."""
    return _SIZE_TAG.search(model) is not None


def is_variant(model: str) -> bool:
    """True for names such as `deepseek/deepseek-r1:free`, which only OpenRouter gives."""
    return _VARIANT.search(model) is not None


def is_bedrock(model: str) -> bool:
    """True for names such as `amazon.nova-lite-v1:0` and `us.anthropic.claude-…`."""
    return _BEDROCK.match(model) is not None


def undated(model: str) -> str:
    """A model's name without the date or version at its end: `gpt-4o-2024-08-06` is a `gpt-4o`."""
    return _DATE.sub("", model)


def bare(model: str) -> str:
    """A model's name out of a resource's path: `models/…`, `projects/…/models/…` and `arn:aws:bedrock:…/…`."""
    if model.startswith("arn:") or (_RESOURCE.search(model) and not model.startswith("accounts/")):
        return model.rpartition("/")[2]
    return model


def split_prefix(model: str) -> tuple[str, str] | None:
    """`openai/gpt-4o` and `openai:gpt-4o` as (`openai`, `gpt-4o`); None without such a prefix.

    `ft:gpt-4o:acme::abc` has none: it is a model of its own, tuned from another.
    """
    found = None if model.startswith("ft:") else _PREFIX.match(model)
    return (found[1], found[2]) if found else None


def spellings(model: str) -> tuple[str, ...]:
    """A model's name as sent, then without the path or the providers in front of it, most exact first."""
    found = [model, bare(model)]
    rest = model
    while (parts := split_prefix(rest)) is not None:
        rest = parts[1]
        found.append(rest)
    return tuple(dict.fromkeys(found))
