"""The names that clients send for providers and models, and whose prices they lead to."""

import pytest

from tracer.otlp.dialects.reading import Usage
from tracer.prices import PriceBook, names
from tracer.units import parse_rfc3339

BOOK = PriceBook()
AT = parse_rfc3339("2026-11-01")
USAGE = Usage(100_000, 100_000, 200_000)


@pytest.mark.parametrize(
    ("sent", "means"),
    [
        # providers in the spellings of instrumentations and frameworks
        (("Anthropic", "claude-3-5-sonnet-20241022"), ("anthropic", "claude-3-5-sonnet")),
        (("OPENAI", "GPT-4o"), ("openai", "gpt-4o")),
        (("openai.responses", "gpt-4o"), ("openai", "gpt-4o")),
        (("az.ai.openai", "gpt-4o"), ("azure", "gpt-4o")),
        (("azure.ai.inference", "gpt-4o-mini"), ("azure", "gpt-4o-mini")),
        (("az.ai.openai", "gpt-35-turbo"), ("azure", "gpt-3.5-turbo")),
        (("azure", "azure/gpt-4o"), ("azure", "gpt-4o")),
        (("aws.bedrock", "anthropic.claude-3-haiku-20240307-v1:0"), ("anthropic", "claude-3-haiku-20240307")),
        (("bedrock_converse", "amazon.nova-lite-v1:0"), ("aws", "amazon.nova-lite-v1:0")),
        (("anthropic", "us.anthropic.claude-3-haiku-20240307-v1:0"), ("anthropic", "claude-3-haiku-20240307")),
        (("gcp.vertex_ai", "gemini-2.0-flash"), ("google", "gemini-2.0-flash")),
        (("gcp.gemini", "models/gemini-2.0-flash"), ("google", "gemini-2.0-flash")),
        (("gcp.gen_ai", "gemini-2.0-flash"), ("google", "gemini-2.0-flash")),
        (("gcp.vertex_ai", "claude-3-5-sonnet@20240620"), ("anthropic", "claude-3-5-sonnet")),
        (("mistral_ai", "mistral-large-latest"), ("mistral", "mistral-large-latest")),
        (("x_ai", "grok-3"), ("x-ai", "grok-3")),
        (("xai.chat", "grok-3"), ("x-ai", "grok-3")),
        (("cohere_chat", "command-r"), ("cohere", "command-r")),
        (
            ("togetherai", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
            ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ),
        # providers in front of the model
        ((None, "openai/gpt-4o-mini"), ("openai", "gpt-4o-mini")),
        ((None, "openai:gpt-4o-mini"), ("openai", "gpt-4o-mini")),
        ((None, "google-gla:gemini-2.0-flash"), ("google", "gemini-2.0-flash")),
        ((None, "bedrock/us.anthropic.claude-3-haiku-20240307-v1:0"), ("anthropic", "claude-3-haiku-20240307")),
        ((None, "groq/llama-3.3-70b-versatile"), ("groq", "llama-3.3-70b-versatile")),
        (("litellm", "groq/llama-3.3-70b-versatile"), ("groq", "llama-3.3-70b-versatile")),
        (("google", "anthropic/claude-3-5-sonnet@20240620"), ("anthropic", "claude-3-5-sonnet")),
        (("openrouter", "openrouter/anthropic/claude-3.5-sonnet"), ("openrouter", "anthropic/claude-3.5-sonnet")),
        ((None, "ft:gpt-4o-mini-2024-07-18:acme::abc"), ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc")),
        # paths
        ((None, "models/gemini-2.0-flash"), ("google", "gemini-2.0-flash")),
        ((None, "projects/p/locations/l/publishers/google/models/gemini-2.0-flash"), ("google", "gemini-2.0-flash")),
        ((None, "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"), ("aws", "amazon.nova-lite-v1:0")),
        # dates
        ((None, "gpt-4o-mini-2031-01-31"), ("openai", "gpt-4o-mini")),
        ((None, "gpt-4o-20240806"), ("openai", "gpt-4o")),
        ((None, "claude-3-5-sonnet@20240620"), ("anthropic", "claude-3-5-sonnet")),
        # what answers OpenAI's protocol is called openai, and a gateway is no provider
        (("openai", "deepseek-chat"), ("deepseek", "deepseek-chat")),
        (("openai", "mistral-large-latest"), ("mistral", "mistral-large-latest")),
        (("openai", "anthropic/claude-3.5-sonnet"), ("anthropic", "claude-3-5-sonnet")),
        (("portkey", "gpt-4o"), ("openai", "gpt-4o")),
        (("portkey", "claude-3-5-haiku-latest"), ("anthropic", "claude-3-5-haiku-latest")),
        ((" openai ", " gpt-4o "), ("openai", "gpt-4o")),
        (("", "gpt-4o"), ("openai", "gpt-4o")),
    ],
)
def test_a_name_leads_to_the_price_of_what_it_means(sent, means):
    wanted = BOOK.cost_of(means[1], means[0], USAGE, AT)

    assert wanted is not None
    assert wanted.total > 0
    assert BOOK.cost_of(sent[1], sent[0], USAGE, AT) == wanted


def test_a_fine_tuned_model_has_a_price_of_its_own():
    tuned = BOOK.cost_of("ft:gpt-4o-mini-2024-07-18:acme::abc", "openai", USAGE, AT)

    assert tuned is not None
    assert tuned != BOOK.cost_of("gpt-4o-mini", "openai", USAGE, AT)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("portkey", "deepseek-chat"),
        (None, "deepseek-r1-distill-llama-70b"),
        (None, "mistralai/Mixtral-8x7B-Instruct-v0.1"),
        (None, "qwen2.5:7b"),
        ("openai", "mistral:latest"),
        ("openai", "gpt-oss:20b"),
        (None, "lm_studio/gpt-4o"),
        ("azure", "my-gpt-4o-deployment"),
        (None, "my-claude"),
        ("groq", "gpt-4o"),
        (None, "groq/gpt-4o"),
        (None, "openai/gpt-oss-20b"),
        ("openai", "nobody/knows:nitro"),
    ],
)
def test_a_model_that_anyone_may_run_or_name_has_no_price(provider, model):
    assert BOOK.cost_of(model, provider, USAGE, AT) is None


@pytest.mark.parametrize(
    ("model", "all_spellings"),
    [
        ("gpt-4o", ("gpt-4o",)),
        ("openai:gpt-4o", ("openai:gpt-4o", "gpt-4o")),
        ("a/b/c", ("a/b/c", "b/c", "c")),
        ("models/gemini-2.0-flash", ("models/gemini-2.0-flash", "gemini-2.0-flash")),
        ("amazon.nova-lite-v1:0", ("amazon.nova-lite-v1:0",)),
    ],
)
def test_a_name_is_tried_from_the_most_exact_spelling_to_the_shortest(model, all_spellings):
    assert names.spellings(model) == all_spellings


def test_a_long_name_is_split_in_no_time():
    assert len(names.spellings("a/" * (names.MAX_NAME // 2))) <= names.MAX_NAME
    assert BOOK.cost_of("gpt-" + "a/" * 5_000, "openai", USAGE, AT) is None
    assert BOOK.cost_of("gpt-4o", "openai" * 1_000, USAGE, AT) == BOOK.cost_of("gpt-4o", None, USAGE, AT)
