"""Tokens to money: the arithmetic, the price data behind it, and that none of it leaves the machine."""

import subprocess
import sys
import threading
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st

from tests.counts import counted
from tracer.otlp.dialects.reading import Usage
from tracer.prices import Cost, PriceBook
from tracer.prices.book import MAX_KNOWN
from tracer.prices.rates import Era, Rates, cost_at
from tracer.units import DAY, HOUR, SECOND, UnixNanos, parse_rfc3339

BOOK = PriceBook()
AT = parse_rfc3339("2026-11-01")
TOKENS = st.integers(min_value=0, max_value=10**7)
PRICE = st.integers(min_value=0, max_value=200 * SECOND)
MAYBE = st.none() | PRICE

RATES = st.builds(
    Rates,
    input=PRICE,
    output=PRICE,
    cached=MAYBE,
    write=MAYBE,
    audio_input=MAYBE,
    cached_audio=MAYBE,
    audio_output=MAYBE,
    reasoning=MAYBE,
    request=st.sampled_from([0, 12 * SECOND * 1_000]),
)
USAGE = st.builds(
    Usage,
    input=st.none() | TOKENS,
    output=st.none() | TOKENS,
    total=st.none() | TOKENS,
    cached_input=st.none() | TOKENS,
    cache_write=st.none() | TOKENS,
    reasoning=st.none() | TOKENS,
    audio=st.none() | TOKENS,
    audio_output=st.none() | TOKENS,
)

WELL_KNOWN = [
    "gpt-4o",
    "gpt-4o-2024-08-06",
    "gpt-4o-mini",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4.1-nano",
    "gpt-5",
    "gpt-5-mini",
    "o1",
    "o3",
    "o4-mini",
    "gpt-4-turbo",
    "gpt-3.5-turbo",
    "text-embedding-3-small",
    "text-embedding-3-large",
    "text-embedding-ada-002",
    "claude-sonnet-4",
    "claude-sonnet-4-20250514",
    "claude-3-5-sonnet-20241022",
    "claude-3-5-haiku-20241022",
    "claude-opus-4-1",
    "claude-haiku-4-5",
    "gemini-1.5-pro",
    "gemini-2.0-flash",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-embedding-001",
    "mistral-large-latest",
    "mistral-small-latest",
    "mistral-embed",
    "codestral-latest",
    "command-r-plus",
    "deepseek-chat",
    "deepseek-reasoner",
    "grok-3",
    "sonar",
    "voyage-3",
]


def cost(
    model: str, provider: str | None = None, usage: Usage | None = None, at: int = AT, book: PriceBook = BOOK
) -> Cost:
    found = book.cost_of(model, provider, usage or Usage(1_000_000, 0), at)
    assert found is not None, f"no price for {model!r} of {provider!r}"
    return found


@pytest.mark.parametrize("model", WELL_KNOWN)
def test_a_well_known_model_has_a_price_without_its_provider(model):
    assert cost(model).input > 0


def test_the_arithmetic_is_shown_line_by_line():
    bill = cost("gpt-4o-mini", "openai", Usage(input=1200, output=300, total=1500, cached_input=1000))

    assert [(line.label, line.tokens, line.per_million, line.cost) for line in bill.lines] == [
        ("uncached input", 200, 150_000_000, 30_000),
        ("cached input", 1000, 75_000_000, 75_000),
        ("output", 300, 600_000_000, 180_000),
    ]
    assert (bill.input, bill.output, bill.total) == (105_000, 180_000, 285_000)


def test_tokens_written_to_the_cache_have_their_own_price():
    bill = cost("claude-3-5-sonnet-20241022", "anthropic", Usage(2000, 10, 2010, cached_input=500, cache_write=1000))

    assert {line.label: (line.tokens, line.per_million) for line in bill.lines} == {
        "uncached input": (500, 3 * SECOND),
        "cached input": (500, 3 * SECOND // 10),
        "cache write": (1000, 375 * SECOND // 100),
        "output": (10, 15 * SECOND),
    }


def test_a_long_input_costs_the_higher_price_for_all_its_tokens():
    short = cost("gemini-2.5-pro", "google", Usage(200_000, 100))
    long = cost("gemini-2.5-pro", "google", Usage(200_001, 100))

    assert [line.per_million for line in short.lines] == [1_250_000_000, 10 * SECOND]
    assert [line.per_million for line in long.lines] == [2_500_000_000, 15 * SECOND]


def test_a_price_is_the_one_of_the_day_of_the_call():
    before = cost("o3", "openai", at=parse_rfc3339("2025-06-01"))
    after = cost("o3", "openai", at=parse_rfc3339("2025-07-01"))

    assert (before.input, after.input) == (10 * SECOND, 2 * SECOND)


def test_a_price_that_depends_on_the_hour_is_the_one_of_the_hour_in_utc():
    night = cost("deepseek-chat", "deepseek", at=parse_rfc3339("2026-11-01T20:00:00Z"))
    day = cost("deepseek-chat", "deepseek", at=parse_rfc3339("2026-11-01T12:00:00Z"))

    assert 0 < night.input < day.input


def test_hours_may_run_over_midnight():
    era = Era(((-1, Rates(1, 1)),), hours=(22 * HOUR, 2 * HOUR))

    assert [hour for hour in range(24) if era.holds(5 * DAY + hour * HOUR)] == [0, 1, 22, 23]


def test_sound_that_came_in_has_its_own_price():
    bill = cost("gemini-2.0-flash", "google", Usage(1000, 50, 1050, audio=400))

    assert {line.label: line.tokens for line in bill.lines} == {"uncached input": 600, "audio input": 400, "output": 50}


def test_sound_that_must_have_been_cached_is_priced_as_cached_sound():
    bill = cost("gemini-2.0-flash", "google", Usage(1000, 0, 1000, cached_input=900, audio=400))

    assert {line.label: line.tokens for line in bill.lines} == {
        "cached input": 600,
        "audio input": 100,
        "cached audio input": 300,
    }


def test_sound_that_may_have_come_in_or_gone_out_at_different_prices_has_no_known_cost():
    assert BOOK.cost_of("gpt-audio", "openai", Usage(1000, 1000, 2000, audio=400), AT) is None
    assert cost("gpt-audio", "openai", Usage(1000, 0, 1000, audio=400)).lines[1].label == "audio input"
    assert cost("gpt-audio", "openai", Usage(1000, 1000, 2000, audio=2000)).lines[1].label == "audio output"


def test_sound_that_is_told_apart_has_a_cost_where_it_would_have_none():
    bill = cost("gpt-audio", "openai", Usage(1000, 1000, 2000, audio=400, audio_output=100))

    sound = {line.label: line.tokens for line in bill.lines if "audio" in line.label}
    assert sound == {"audio input": 300, "audio output": 100}


def test_a_fee_for_each_call_is_a_line_of_its_own():
    bill = cost("sonar", "perplexity", Usage(1000, 1000, 2000))

    assert [(line.label, line.tokens, line.cost) for line in bill.lines] == [
        ("input", 1000, 1_000_000),
        ("request", 1, 12_000_000),
        ("output", 1000, 1_000_000),
    ]


def test_reasoning_is_split_off_where_it_has_its_own_price():
    bill = cost("sonar-deep-research", "perplexity", Usage(0, 1000, 1000, reasoning=900))
    same = cost("o3", "openai", Usage(0, 1000, 1000, reasoning=900))

    assert [(line.label, line.tokens) for line in bill.lines] == [("output", 100), ("reasoning", 900)]
    assert [(line.label, line.tokens) for line in same.lines] == [("output", 1000)]


def test_the_total_of_an_embedding_call_is_its_input():
    assert cost("text-embedding-3-small", None, Usage(total=1_000_000)).input == SECOND // 50


def test_the_total_of_a_chat_call_alone_tells_no_cost():
    assert BOOK.cost_of("gpt-4o", "openai", Usage(total=1000), AT) is None


def test_a_missing_side_is_worked_out_from_the_total():
    assert cost("gpt-4o", "openai", Usage(input=600, total=1000)) == cost("gpt-4o", "openai", Usage(600, 400, 1000))
    assert cost("gpt-4o", "openai", Usage(output=400, total=1000)) == cost("gpt-4o", "openai", Usage(600, 400, 1000))


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        (None, "openai"),
        ("", None),
        ("   ", None),
        ("my-own-model", None),
        ("my-own-model", "openai"),
        ("gpt-4o" * 100, "openai"),
        ("llama3", "ollama"),
        ("gpt-4o", "hosted_vllm"),
        ("ollama/mistral-large-latest", None),
        ("deepseek-r1:8b", "openai"),
        ("whisper-1", "openai"),
        ("ft:my-model:acme::abc", "openai"),
        ("meta-llama/Llama-3.3-70B-Instruct", None),
        ("deepseek-ai/deepseek-r1", "nvidia_nim"),
        ("gpt-oss-120b", None),
    ],
)
def test_an_unknown_price_is_none_and_never_zero(model, provider):
    assert BOOK.cost_of(model, provider, Usage(1000, 1000), AT) is None


@pytest.mark.parametrize("usage", [None, Usage(), Usage(cached_input=5, reasoning=5)])
def test_without_usage_there_is_no_cost(usage):
    assert BOOK.cost_of("gpt-4o", "openai", usage, AT) is None


def test_no_tokens_at_a_known_price_cost_nothing():
    nothing = cost("gpt-4o", "openai", Usage(0, 0, 0))

    assert (nothing.input, nothing.output, nothing.total, nothing.lines) == (0, 0, 0, ())


def test_a_model_that_is_given_for_free_costs_zero():
    for provider in ("openrouter", "openai", None):
        assert cost("deepseek/deepseek-r1:free", provider, Usage(1000, 1000)).total == 0
    assert BOOK.cost_of("gpt-4o", "github-copilot", Usage(1000, 1000), AT) is None


def test_pictures_that_go_out_at_their_own_price_have_no_known_cost():
    assert BOOK.cost_of("gemini-2.5-flash-image", "google", Usage(100, 1290), AT) is None
    assert cost("gemini-2.5-flash-image", "google", Usage(100, 0)).total == 30_000


@given(RATES, USAGE)
def test_money_adds_up_and_every_line_is_rounded_once(rates, usage):
    bill = rates.cost_of(usage)
    if bill is None:
        return

    assert sum(line.cost for line in bill.lines) == bill.total == bill.input + bill.output
    for line in bill.lines:
        assert line.tokens > 0
        assert abs(line.cost * 1_000_000 - line.tokens * line.per_million) <= 500_000
    outputs = [line for line in bill.lines if line.label in ("output", "reasoning", "audio output")]
    assert sum(line.cost for line in outputs) == bill.output


@given(RATES, USAGE)
def test_every_token_is_on_exactly_one_line(rates, usage):
    bill = rates.cost_of(usage)
    if bill is None or usage.input is None or usage.output is None:
        return

    outputs = ("output", "reasoning", "audio output")
    assert sum(line.tokens for line in bill.lines if line.label in outputs) == usage.output
    inputs = sum(line.tokens for line in bill.lines if line.label not in (*outputs, "request"))
    assert inputs == max(usage.input, (usage.cached_input or 0) + (usage.cache_write or 0))


@given(RATES, TOKENS, TOKENS, TOKENS, TOKENS, TOKENS)
def test_more_tokens_never_cost_less(rates, asked, answered, cached, more_in, more_out):
    less = rates.cost_of(Usage(asked, answered, cached_input=cached))
    more = rates.cost_of(Usage(asked + more_in, answered + more_out, cached_input=cached))

    assert less is not None
    assert more is not None
    assert more.input >= less.input >= 0
    assert more.output >= less.output >= 0


@given(TOKENS, TOKENS, TOKENS)
def test_cached_tokens_never_make_a_call_dearer_and_never_go_below_zero(asked, cached, written):
    whole = cost("claude-3-5-haiku-20241022", "anthropic", Usage(max(asked, cached), 0))
    saved = cost("claude-3-5-haiku-20241022", "anthropic", Usage(max(asked, cached), 0, cached_input=cached))
    both = cost("claude-3-5-haiku-20241022", "anthropic", Usage(asked, 0, cached_input=cached, cache_write=written))

    assert 0 <= saved.total <= whole.total
    assert all(line.tokens > 0 and line.cost >= 0 for line in both.lines)


@given(st.text(max_size=60) | st.sampled_from(WELL_KNOWN), st.none() | st.text(max_size=30), USAGE, st.integers())
def test_whatever_clients_send_is_priced_or_not_but_never_raises(model, provider, usage, at):
    found = BOOK.cost_of(model, provider, usage, at)

    assert found is None or found.total >= 0


def test_costs_are_those_of_the_library_for_every_model_it_knows():
    every = [(provider.id, model.id) for provider in providers for model in provider.models]
    usages = [Usage(1234, 567, 1801), Usage(310_001, 89, 310_090, cached_input=200_003, cache_write=5_007)]
    times = [parse_rfc3339(text) for text in ("2024-06-01T03:00:00Z", "2026-11-01T12:34:56Z")]
    priced = 0
    for provider, model in every[:: counted(7, 1)]:
        for usage, at in zip(usages, times, strict=True):
            ours = BOOK.cost_of(model, provider, usage, at)
            if ours is None:
                continue
            theirs = genai_prices.calc_price(
                genai_prices.Usage(
                    input_tokens=usage.input,
                    output_tokens=usage.output,
                    cache_read_tokens=usage.cached_input,
                    cache_write_tokens=usage.cache_write,
                ),
                model,
                provider_id=provider,
                genai_request_timestamp=datetime.fromtimestamp(at // SECOND, UTC),
            )
            priced += 1
            assert abs(ours.total - theirs.total_price * SECOND) <= Decimal("0.5") * (len(ours.lines) + 1), model
    assert priced > 1.6 * len(every[:: counted(7, 1)])


def test_loading_ahead_changes_no_price():
    book = PriceBook()
    book.load()

    assert cost("gpt-4o", book=book) == cost("gpt-4o")


def test_the_first_era_that_holds_is_the_one():
    dear, cheap = ((-1, Rates(2_000_000, 0)),), ((-1, Rates(1_000_000, 0)),)
    eras = (Era(dear, start=UnixNanos(100)), Era((), start=UnixNanos(50)), Era(cheap))

    assert [found and found.total for at in (100, 99, 49) for found in [cost_at(eras, Usage(1, 0), at)]] == [2, None, 1]


def test_names_from_outside_fill_no_memory():
    book = PriceBook()
    for n in range(MAX_KNOWN + 100):
        book.names_own(f"model {n}", None)
        book._table.known[None, f"model {n}"] = ()
    book.cost_of("one more", "ollama", Usage(1, 1), AT)

    assert len(book._table.named) <= MAX_KNOWN
    assert len(book._table.known) == 1


def test_several_threads_may_ask_a_new_book_at_once():
    book = PriceBook()
    totals: list[int] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        totals.extend(cost(model, book=book).total for model in WELL_KNOWN)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(totals) == sorted(8 * [cost(model).total for model in WELL_KNOWN])


WATCHED = """
import sys, threading
from pathlib import Path
seen = []
sys.addaudithook(lambda event, _: seen.append(event) if event.startswith(("socket.", "urllib.", "http.")) else None)

from tracer.otlp.dialects.reading import Usage
from tracer.prices import PriceBook
book = PriceBook()
assert "genai_prices" not in sys.modules, "loaded before the first price"
assert book.cost_of(None, None, Usage(1, 1), 0) is None
assert book.cost_of("gpt-4o", "openai", None, 0) is None
own = PriceBook(Path(sys.argv[1]))
assert own.cost_of("mine", None, Usage(1000, 0), 0).total == 1_000_000
assert "genai_prices" not in sys.modules, "loaded without a price to look up"
assert book.cost_of("gpt-4o", "openai", Usage(1000, 1000), 0) is not None
assert book.cost_of("nobody-knows", None, Usage(1000, 1000), 0) is None
assert "genai_prices" in sys.modules
assert threading.active_count() == 1, threading.enumerate()
assert not seen, seen
import socket
socket.socket().close()
assert seen == ["socket.__new__"], "the watch sees no sockets"
"""


def test_prices_load_with_the_first_call_and_open_no_connection_and_no_thread(tmp_path):
    own = tmp_path / "prices.toml"
    own.write_text('[[price]]\nmodel = "mine"\ninput = 1\n')

    command = [sys.executable, "-W", "error", "-c", WATCHED, str(own)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
