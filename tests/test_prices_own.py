"""The user's own price table: what it says goes before everything else, and a mistake in it is named."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.errors import BadSetting
from tracer.otlp.dialects.reading import Usage
from tracer.prices import PriceBook, names
from tracer.prices.own import MAX_FILE, _pattern
from tracer.units import parse_rfc3339

AT = parse_rfc3339("2026-11-01")
MILLION = Usage(1_000_000, 0)


@pytest.fixture
def book(tmp_path: Path):
    def write(text: str) -> PriceBook:
        file = tmp_path / "prices.toml"
        file.write_text(text, encoding="utf-8")
        return PriceBook(file)

    return write


def dollars(book: PriceBook, model: str, provider: str | None = None, at: int = AT) -> float | None:
    found = book.cost_of(model, provider, MILLION, at)
    return found.input / 1e9 if found else None


def test_an_own_price_covers_every_token_class(book):
    own = book('[[price]]\nmodel = "my-model*"\ninput = 1.5\noutput = 6\ncached_input = 0.15\ncache_write = 1.875\n')

    bill = own.cost_of("My-Model-2", None, Usage(1000, 100, 1100, cached_input=200, cache_write=300), AT)

    assert bill is not None
    assert [(line.label, line.tokens, line.per_million, line.cost) for line in bill.lines] == [
        ("uncached input", 500, 1_500_000_000, 750_000),
        ("cached input", 200, 150_000_000, 30_000),
        ("cache write", 300, 1_875_000_000, 562_500),
        ("output", 100, 6_000_000_000, 600_000),
    ]


def test_decimals_are_taken_exactly(book):
    own = book('[[price]]\nmodel = "m"\ninput = 0.000000007\noutput = 1.1\n')

    assert dollars(own, "m") == 7e-9
    assert own.cost_of("m", None, Usage(0, 3), AT).output == 3_300


def test_an_own_price_goes_before_the_known_one(book):
    own = book('[[price]]\nmodel = "gpt-4o"\ninput = 1\noutput = 1\n')

    assert dollars(own, "gpt-4o", "openai") == 1
    assert dollars(own, "openai/gpt-4o") == 1
    assert dollars(own, "gpt-4o-mini", "openai") == 0.15
    assert own.names_own("gpt-4o", "openai")
    assert not own.names_own("gpt-4o-mini", "openai")
    assert not own.names_own(None, "openai")


def test_an_own_price_of_zero_is_a_known_price(book):
    own = book('[[price]]\nmodel = "llama3*"\nprovider = "ollama"\ninput = 0\noutput = 0\n')

    assert dollars(own, "llama3:8b", "ollama") == 0
    assert dollars(own, "llama3:8b", "other") is None


def test_a_model_without_an_own_output_price_has_no_cost_for_output(book):
    own = book('[[price]]\nmodel = "embed"\ninput = 2\n')

    assert dollars(own, "embed") == 2
    assert own.cost_of("embed", None, Usage(10, 10), AT) is None


def test_the_most_exact_entry_is_taken_wherever_it_stands(book):
    own = book(
        """
        [[price]]
        model = "my-model"
        input = 1
        [[price]]
        model = "my-model"
        provider = "acme*"
        input = 2
        [[price]]
        model = "my-*"
        input = 3
        [[price]]
        model = "*"
        provider = "ACME cloud"
        input = 4
        [[price]]
        model = "my-mod*"
        input = 5
        """
    )

    assert dollars(own, "my-model") == 1
    assert dollars(own, "my-model", "acme") == 2
    assert dollars(own, "acme/my-model") == 2
    assert dollars(own, "my-other", "acme cloud") == 3
    assert dollars(own, "other", "Acme Cloud") == 4
    assert dollars(own, "my-mods") == 5


def test_a_dated_price_holds_from_its_day_on(book):
    own = book(
        """
        [[price]]
        model = "gpt-4o"
        from = 2026-03-01
        input = 2
        [[price]]
        model = "gpt-4o"
        from = 2026-01-01
        input = 1
        """
    )

    assert dollars(own, "gpt-4o", "openai", parse_rfc3339("2026-03-01T00:00:00Z")) == 2
    assert dollars(own, "gpt-4o", "openai", parse_rfc3339("2026-02-28T23:59:59.999999999Z")) == 1
    assert dollars(own, "gpt-4o", "openai", parse_rfc3339("2025-12-31")) == 2.5, "the known price"
    assert own.names_own("gpt-4o", "openai")
    assert own.names_own("gpt-4o", "openai", parse_rfc3339("2026-01-01"))
    assert not own.names_own("gpt-4o", "openai", parse_rfc3339("2025-12-31"))


def test_before_its_day_the_next_best_entry_holds(book):
    own = book(
        """
        [[price]]
        model = "a-b"
        from = 2026-03-01
        input = 2
        [[price]]
        model = "a-*"
        input = 1
        """
    )

    assert dollars(own, "a-b", None, parse_rfc3339("2026-01-01")) == 1


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "price = []\n"])
def test_an_empty_table_is_no_table(book, text):
    assert dollars(book(text), "gpt-4o") == 2.5


def test_a_table_that_is_not_there_is_no_table(tmp_path):
    assert not PriceBook(tmp_path / "none.toml").names_own("gpt-4o", None)


@pytest.mark.parametrize(
    ("text", "says", "field"),
    [
        ("[[price]\n", "is not TOML", "prices"),
        ('[[price]]\nmodel = "m"\ninput = \n', "line 3", "prices"),
        ('[price]\nmodel = "m"\n', "[price] where [[price]] is needed (line 1)", "price"),
        ('\nmodel = "m"\n', "'model' outside of a [[price]] entry (line 2)", "model"),
        ("price = [1]\n", "entry 1: price must be an entry", "price"),
        ("[[price]]\ninput = 1\n", "entry 1 (line 1): model is missing", "model"),
        ('[[price]]\nmodel = ""\ninput = 1\n', "entry 1 (line 2): model must be a text", "model"),
        ("[[price]]\nmodel = 4\ninput = 1\n", "entry 1 (line 2): model must be a text", "model"),
        ('[[price]]\nmodel = "m"\nprovider = []\ninput = 1\n', "(line 3): provider must be a text", "provider"),
        ('[[price]]\nmodel = "m"\n', "entry 1 (line 1): input is missing", "input"),
        (
            '[[price]]\nmodel = "m"\ninput = 1\n\n[[price]]\nmodel = "n"\n\ninput = "1"\n',
            "entry 2 (line 8): input must be a number",
            "input",
        ),
        ('[[price]]\nmodel = "m"\ninput = true\n', "(line 3): input must be a number", "input"),
        ('[[price]]\nmodel = "m"\ninput = -1\n', "(line 3): input must be between 0 and 1,000,000", "input"),
        ('[[price]]\nmodel = "m"\ninput = nan\n', "(line 3): input must be between", "input"),
        ('[[price]]\nmodel = "m"\ninput = inf\n', "(line 3): input must be between", "input"),
        ('[[price]]\nmodel = "m"\ninput = 1e9\n', "(line 3): input must be between", "input"),
        ('[[price]]\nmodel = "m"\ninput = 0.1234567891\n', "(line 3): input has more than nine decimals", "input"),
        ('[[price]]\nmodel = "m"\ninput = 1\noutput = "x"\n', "(line 4): output must be a number", "output"),
        ('[[price]]\nmodel = "m"\ninput = 1\nfrom = "2026-01-01"\n', "(line 4): from must be a day", "from"),
        ('[[price]]\nmodel = "m"\ninput = 1\nfrom = 2026-01-01T00:00:00Z\n', "(line 4): from must be a day", "from"),
        ('[[price]]\nmodel = "m"\ninput = 1\ncache = 1\n', "(line 4): cache is no field of a price", "cache"),
        (
            '[[price]]\nmodel = "m"\ninput = 1\n[[price]]\nmodel = "M"\ninput = 2\n',
            "entry 2 (line 5): model is the same, from the same day on, as in entry 1",
            "model",
        ),
    ],
)
def test_a_mistake_is_named_in_one_sentence_with_its_line_and_field(book, text, says, field):
    with pytest.raises(BadSetting) as caught:
        book(text)

    assert says in caught.value.message
    assert "prices.toml" in caught.value.message
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message
    assert caught.value.field == field


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(BadSetting, match="cannot be read"):
        PriceBook(tmp_path)

    file = tmp_path / "prices.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(BadSetting, match="is not TOML"):
        PriceBook(file)

    file.write_bytes(b"#" * (MAX_FILE + 1))
    with pytest.raises(BadSetting, match="larger than 4 MiB"):
        PriceBook(file)


@given(st.text(max_size=200))
def test_any_text_is_a_table_or_a_bad_setting(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text(text, encoding="utf-8", errors="replace")
    for content in (text, f'[[price]]\nmodel = "m"\ninput = 1\n{text}'):
        file.write_text(content, encoding="utf-8", errors="replace")
        with suppress(BadSetting):
            PriceBook(file)


@given(st.lists(st.text("ab.[]?!-", max_size=5), min_size=1, max_size=5), st.text("ab.[]?!-x", max_size=5))
def test_only_the_star_is_special_in_a_pattern(parts, between):
    pattern = _pattern("*".join(parts))

    assert pattern.match(between.join(parts))
    assert not _pattern("a" + parts[0]).match("b" + parts[0])


def test_a_pattern_full_of_stars_is_tried_in_no_time():
    pattern = _pattern("*a" * 100 + "b")

    assert not pattern.match("a" * names.MAX_NAME)
