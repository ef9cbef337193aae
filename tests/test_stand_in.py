"""The stand-in model speaks OpenAI's protocol."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import TypeAlias
from urllib.parse import urlsplit

import pytest

from examples.script.model import WINDOW, Model, pieces
from examples.stand_in import StandIn

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

SHOP = "You work for Larch & Lever, a bicycle shop in Freiburg."
TOOL: Json = {"type": "function", "function": {"name": "lookup_order", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def model() -> Iterator[StandIn]:
    with StandIn(speed=500) as stand_in:
        yield stand_in


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.retry_after = response.headers.get("Retry-After")
        self.type = response.headers.get_content_type()
        self.body = response.read().decode()

    def at(self, *path: str | int) -> Json:
        """Walk into the JSON body."""
        return walk(json.loads(self.body), *path)

    def events(self) -> list[Json]:
        """The stream's events, without the closing one, which must be there."""
        lines = [line.removeprefix("data: ") for line in self.body.split("\n\n") if line]
        assert lines[-1] == "[DONE]"
        return [json.loads(line) for line in lines[:-1]]


def walk(value: Json, *path: str | int) -> Json:
    for key in path:
        if isinstance(value, dict):
            assert isinstance(key, str)
            value = value[key]
        else:
            assert isinstance(value, list)
            assert isinstance(key, int)
            value = value[key]
    return value


def connection(model: StandIn) -> http.client.HTTPConnection:
    address = urlsplit(model.base_url)
    return http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)


def post(model: StandIn, path: str, body: Json | bytes, **headers: str) -> Answer:
    there = connection(model)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        there.request("POST", path, data, headers)
        return Answer(there.getresponse())
    finally:
        there.close()


def chat(model: StandIn, system: str, user: str, more: list[Json] | None = None, **options: Json) -> Answer:
    messages: list[Json] = [{"role": "system", "content": system}, {"role": "user", "content": user}, *(more or [])]
    retries = options.pop("retries", 0)
    body: Json = {"model": "m", "messages": messages, **options}
    return post(model, "/v1/chat/completions", body, **{"x-retry-count": str(retries)})


def test_a_chat_reply_has_text_and_usage_that_adds_up(model: StandIn) -> None:
    answer = chat(model, f"{SHOP} Write the answer.", "Wie oft muss ich die Kette ölen?")

    assert answer.status == 200
    assert "200 Kilometer" in str(answer.at("choices", 0, "message", "content"))
    assert answer.at("choices", 0, "finish_reason") == "stop"
    assert answer.at("model") == "m"
    used, made, total = (answer.at("usage", key) for key in ("prompt_tokens", "completion_tokens", "total_tokens"))
    assert isinstance(used, int)
    assert isinstance(made, int)
    assert used > 10
    assert made > 10
    assert total == used + made


def test_a_streamed_reply_is_the_whole_reply_in_pieces(model: StandIn) -> None:
    whole = chat(model, f"{SHOP} Write the answer.", "Which tyres fit?").at("choices", 0, "message", "content")

    answer = chat(
        model, f"{SHOP} Write the answer.", "Which tyres fit?", stream=True, stream_options={"include_usage": True}
    )
    events = answer.events()
    pieces_said = [walk(event, "choices", 0, "delta") for event in events[:-1]]

    assert answer.type == "text/event-stream"
    assert "".join(str(piece.get("content") or "") for piece in pieces_said if isinstance(piece, dict)) == whole
    assert walk(events[0], "choices", 0, "delta", "role") == "assistant"
    assert walk(events[-2], "choices", 0, "finish_reason") == "stop"
    assert walk(events[-1], "choices") == []
    assert walk(events[-1], "usage", "completion_tokens") == len(pieces(str(whole)))


def test_a_stream_tells_its_usage_only_when_asked(model: StandIn) -> None:
    assert "usage" not in chat(model, f"{SHOP} Write the answer.", "Which tyres fit?", stream=True).body


def test_tools_are_called_one_after_the_other_and_their_results_move_the_script_on(model: StandIn) -> None:
    system, user = f"{SHOP} Gather the facts.", "Where is order A-2291?"
    first = chat(model, system, user, tools=[TOOL])
    call = first.at("choices", 0, "message", "tool_calls", 0)
    message = first.at("choices", 0, "message")
    result: Json = {"role": "tool", "tool_call_id": walk(call, "id"), "content": "OrderNotFound"}

    second = chat(model, system, user, [message, result], tools=[TOOL])

    assert first.at("choices", 0, "finish_reason") == "tool_calls"
    assert first.at("choices", 0, "message", "content") is None
    assert walk(call, "function", "name") == "lookup_order"
    assert json.loads(str(walk(call, "function", "arguments"))) == {"order_id": "A-2291"}
    again = second.at("choices", 0, "message", "tool_calls", 0)
    assert json.loads(str(walk(again, "function", "arguments"))) == {"order_id": "A-2219"}
    assert walk(again, "id") != walk(call, "id")


def test_tool_calls_stream_too(model: StandIn) -> None:
    events = chat(model, f"{SHOP} Gather the facts.", "Order A-2204?", tools=[TOOL], stream=True).events()

    call = walk(events[1], "choices", 0, "delta", "tool_calls", 0)
    assert walk(call, "index") == 0
    assert walk(call, "function", "name") == "lookup_order"
    assert walk(events[-1], "choices", 0, "finish_reason") == "tool_calls"


def test_a_reply_is_cut_at_max_tokens(model: StandIn) -> None:
    answer = chat(model, f"{SHOP} Write the answer.", "Which tyres fit?", max_tokens=5)

    assert answer.at("choices", 0, "finish_reason") == "length"
    assert answer.at("usage", "completion_tokens") == 5


def test_the_beginning_of_a_known_conversation_counts_as_cached(model: StandIn) -> None:
    system = f"{SHOP} Write the answer. " + "Be kind. " * 100
    fresh = chat(model, system, "Which tyres fit?")
    again = chat(model, system, "Wie oft muss ich die Kette ölen?")

    cached = again.at("usage", "prompt_tokens_details", "cached_tokens")
    assert fresh.at("usage", "prompt_tokens_details", "cached_tokens") == 0
    assert isinstance(cached, int)
    assert 0 < cached < int(str(again.at("usage", "prompt_tokens")))


def test_what_no_script_knows_is_answered_honestly(model: StandIn) -> None:
    answer = chat(model, "You are a pirate.", "Who are you?")

    assert "scripted stand-in model" in str(answer.at("choices", 0, "message", "content"))


def test_texts_that_share_words_have_close_embeddings(model: StandIn) -> None:
    texts: Json = ["oil the chain", "how do I oil a chain?", "tyre pressure"]
    answer = post(model, "/v1/embeddings", {"model": "e", "input": texts})
    one, like_it, other = (list_of_numbers(answer.at("data", n, "embedding")) for n in range(3))

    assert answer.status == 200
    assert int(str(answer.at("usage", "prompt_tokens"))) > 5
    assert sum(a * a for a in one) == pytest.approx(1)
    assert sum(a * b for a, b in zip(one, like_it, strict=True)) > sum(a * b for a, b in zip(one, other, strict=True))


def list_of_numbers(value: Json) -> list[float]:
    assert isinstance(value, list)
    return [float(str(item)) for item in value]


def test_a_busy_model_says_429_and_when_to_come_back_and_answers_the_second_try(model: StandIn) -> None:
    system = "You read for a bicycle shop's library. Summarise what the passage says about the question."
    user = "Are belts better?\n\nA clean, oiled chain loses about two per cent of the power. Belts lose more."

    first, second = chat(model, system, user), chat(model, system, user, retries=1)

    assert (first.status, first.retry_after) == (429, "1")
    assert first.at("error", "code") == "rate_limit_exceeded"
    assert second.status == 200


def test_a_conversation_longer_than_the_window_is_refused_in_openais_words(model: StandIn) -> None:
    answer = chat(model, SHOP, "chain " * (WINDOW + 1))

    assert answer.status == 400
    assert answer.at("error", "code") == "context_length_exceeded"
    assert "maximum context length" in str(answer.at("error", "message"))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", b"not json", 400),
        ("/v1/chat/completions", b"[]", 400),
        ("/v1/chat/completions", {"messages": []}, 400),
        ("/v1/chat/completions", {"model": "m", "messages": []}, 400),
        ("/v1/chat/completions", {"model": "m", "messages": "hello"}, 400),
        ("/v1/chat/completions", {"model": "m", "messages": [1]}, 400),
        ("/v1/embeddings", {"model": "m", "input": []}, 400),
        ("/v1/embeddings", {"model": "m", "input": [1]}, 400),
        ("/v1/somewhere", {"model": "m"}, 404),
    ],
)
def test_a_wrong_request_gets_an_error_with_a_sentence(
    model: StandIn, path: str, body: Json | bytes, status: int
) -> None:
    answer = post(model, path, body)

    assert answer.status == status
    assert len(str(answer.at("error", "message"))) > 10


def test_a_connection_serves_several_requests_also_after_an_error(model: StandIn) -> None:
    there = connection(model)
    body = json.dumps({"model": "e", "input": "chain"}).encode()
    statuses = []
    for path in ("/v1/embeddings", "/v1/nowhere", "/v1/embeddings"):
        there.request("POST", path, body)
        statuses.append(Answer(there.getresponse()).status)
    there.close()

    assert statuses == [200, 404, 200]


def test_the_models_list_names_the_stand_in(model: StandIn) -> None:
    there = connection(model)
    there.request("GET", "/v1/models")
    answer = Answer(there.getresponse())
    there.close()

    assert answer.at("data", 0, "id") == "stand-in"


def test_tokens_put_together_are_the_text() -> None:
    text = "Öl auf Schmutz — 13,4 kg!\n\n「Larch 28」は、自転車です。 snake_case  two"

    assert "".join(pieces(text)) == text


def test_a_stream_comes_piece_by_piece_at_the_models_pace() -> None:
    clock = Clock()
    model = Paced(clock)
    parts = ["a"] * 53

    arrivals = [(clock.now, piece) for piece in model.pace(parts, begun=clock.now)]

    assert "".join(piece for _, piece in arrivals) == "a" * 53
    assert len(arrivals) == 53
    assert arrivals[-1][0] - arrivals[0][0] == pytest.approx(2)


class Clock:
    now = 100.0


class Paced(Model):
    """A model whose waiting takes no time: its clock jumps."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(speed=1, clock=lambda: clock.now)
        self.jumping = clock

    def wait_until(self, moment: float) -> None:
        self.jumping.now = max(moment, self.jumping.now)


def test_closing_breaks_off_a_reply_under_way() -> None:
    stand_in = StandIn(speed=0.01)
    there = connection(stand_in)
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    there.request("POST", "/v1/chat/completions", json.dumps(body).encode())
    response = there.getresponse()

    closer = threading.Thread(target=stand_in.close)
    closer.start()
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    closer.join(10)
    there.close()

    assert not closer.is_alive()


def test_a_client_that_hangs_up_leaves_no_noise(capfd: pytest.CaptureFixture[str]) -> None:
    slow = StandIn(speed=5)
    address = urlsplit(slow.base_url)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hello"}], "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection((address.hostname or "", address.port or 0)) as there:
        there.sendall(head + body)
        there.recv(10)
    deadline = time.monotonic() + 10
    while any("process_request_thread" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    slow.close()

    assert capfd.readouterr().err == ""
