"""The load of the benches: traces of 12 steps, as OTLP bodies of 512 spans, made from a seed.

A root chain, a guard, a retriever with an embedding under it, three model calls (2 KB of prompt, 1 KB of answer),
three tools, a reranker and a parser: OpenInference's attributes with the GenAI scalars beside them. Spans leave in
the order in which they end, as a batch processor exports them, so that a trace often lies in two bodies.
"""

from __future__ import annotations

import gzip
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

BATCH = 512
MILLISECOND = 1_000_000
MODELS = (("gpt-4o-mini", "openai"), ("gpt-4o", "openai"), ("claude-sonnet-4", "anthropic"))


@dataclass(frozen=True)
class Body:
    """A gzipped ExportTraceServiceRequest and how many spans it holds."""

    data: bytes
    spans: int


class Words:
    """Prose-like text: a vocabulary of made-up words in which few are frequent and most are rare."""

    def __init__(self, chance: random.Random) -> None:
        syllables = [
            "ka",
            "lo",
            "mi",
            "ren",
            "ta",
            "sor",
            "ve",
            "in",
            "pra",
            "dul",
            "es",
            "or",
            "an",
            "tel",
            "qui",
            "mor",
            "gen",
            "sta",
            "ble",
            "ing",
            "tion",
            "al",
            "er",
            "un",
            "re",
        ]
        words = ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(3_000)]
        weights = [1 / (rank + 3) for rank in range(len(words))]
        self._chance = chance
        self._sentences = [" ".join(chance.choices(words, weights, k=16)).capitalize() + ". " for _ in range(4_000)]

    def __call__(self, length: int) -> str:
        text = ""
        while len(text) < length:
            text += self._chance.choice(self._sentences)
        return text[:length]


class Chain:
    """Makes the traces of one application process."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._words = Words(self._chance)

    def trace(self, start: int) -> list[Span]:
        """The 12 spans of one trace that starts at `start` (Unix nanoseconds), in the order in which they end."""
        chance, words = self._chance, self._words
        trace_id = chance.getrandbits(128).to_bytes(16)
        root_id = chance.getrandbits(64).to_bytes(8)
        question, failed, clock = words(160), chance.random() < 0.04, start
        spans: list[Span] = []

        def step(
            parent: bytes, name: str, kind: str, millis: int, attributes: dict[str, object], error: str = ""
        ) -> None:
            nonlocal clock
            length = int(millis * chance.uniform(0.6, 1.4)) * MILLISECOND
            spans.append(make_span(chance, trace_id, parent, name, kind, clock, clock + length, attributes, error))
            clock += length + 20_000

        def call(name: str, millis: int) -> str:
            system, user, answer = words(600), f"{question} {words(1_400)}", words(1_000)
            model, provider = chance.choice(MODELS)
            sent, received = chance.randint(450, 700), chance.randint(180, 320)
            messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
            step(root_id, name, "LLM", millis, {
                "input.value": json.dumps({"messages": messages}), "input.mime_type": "application/json",
                "output.value": answer, "output.mime_type": "text/plain",
                "llm.model_name": model, "llm.provider": provider,
                "llm.invocation_parameters": '{"temperature": 0.2, "max_tokens": 512}',
                "llm.token_count.prompt": sent, "llm.token_count.completion": received,
                "llm.token_count.total": sent + received,
                "llm.input_messages.0.message.role": "system", "llm.input_messages.0.message.content": system,
                "llm.input_messages.1.message.role": "user", "llm.input_messages.1.message.content": user,
                "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": answer,
                "gen_ai.operation.name": "chat", "gen_ai.provider.name": provider,
                "gen_ai.request.model": model, "gen_ai.response.model": model,
                "gen_ai.usage.input_tokens": sent, "gen_ai.usage.output_tokens": received,
            })  # fmt: skip
            return answer

        def tool(name: str, millis: int, size: int, error: str = "") -> None:
            arguments = json.dumps({"query": words(120)})
            named: dict[str, object] = {"tool.name": name, "gen_ai.tool.name": name}
            step(root_id, name, "TOOL", millis, _texts(arguments, words(size)) | named, error)

        step(root_id, "guard_input", "GUARDRAIL", 3, _texts(question, "pass"))
        retriever = chance.getrandbits(64).to_bytes(8)
        step(retriever, "embed_query", "EMBEDDING", 30, {
            "embedding.model_name": "text-embedding-3-small", "input.value": question, "llm.token_count.prompt": 40,
        })  # fmt: skip
        documents: dict[str, object] = {"input.value": question}
        for number in range(4):
            key = f"retrieval.documents.{number}.document"
            documents |= {f"{key}.id": f"doc-{chance.randint(1, 5_000)}", f"{key}.content": words(400)}
            documents[f"{key}.score"] = round(chance.random(), 4)
        step(root_id, "vector_search", "RETRIEVER", 25, documents)
        spans[-1].span_id = retriever
        call("plan_llm", 700)
        tool("web_search", 120, 500)
        tool("calculator", 20, 60)
        call("draft_llm", 1_100)
        tool("sql_query", 80, 700, "query timed out after 30 s" if failed else "")
        step(root_id, "rerank", "RERANKER", 60, {"reranker.query": question, "reranker.model_name": "rerank-3"})
        answer = call("answer_llm", 900)
        step(root_id, "parse_output", "CHAIN", 1, _texts(answer, answer[:800]))
        root = make_span(chance, trace_id, b"", "rag_agent", "CHAIN", start, clock, {
            **_texts(question, answer), "session.id": f"session-{chance.randint(1, 2_000)}",
            "user.id": f"user-{chance.randint(1, 400)}", "tag.tags": ["prod", "rag"],
            "metadata": '{"release": "2026.10", "tier": "gold"}',
        }, "query timed out after 30 s" if failed else "")  # fmt: skip
        root.span_id = root_id
        return [*spans, root]

    def bodies(self, spans: int) -> Iterator[Body]:
        """Bodies of 512 spans until there are `spans` of them, the traces a tenth of a second apart, ending now."""
        start = time.time_ns() - spans // 12 * 100 * MILLISECOND
        waiting: list[Span] = []
        for number in range(spans // 12):
            waiting += self.trace(start + number * 100 * MILLISECOND)
            while len(waiting) >= BATCH:
                yield body(waiting[:BATCH])
                del waiting[:BATCH]
        if waiting:
            yield body(waiting)


def _texts(given: str, made: str) -> dict[str, object]:
    return {
        "input.value": given,
        "input.mime_type": "text/plain",
        "output.value": made,
        "output.mime_type": "text/plain",
    }


def make_span(
    chance: random.Random,
    trace_id: bytes,
    parent: bytes,
    name: str,
    kind: str,
    start: int,
    end: int,
    attributes: dict[str, object],
    error: str = "",
) -> Span:
    """One span in OpenInference's convention; times in Unix nanoseconds, `error` empty for none."""
    span = Span(
        trace_id=trace_id,
        span_id=chance.getrandbits(64).to_bytes(8),
        parent_span_id=parent,
        name=name,
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=start,
        end_time_unix_nano=end,
        status=Status(code=Status.STATUS_CODE_ERROR if error else Status.STATUS_CODE_OK, message=error),
    )
    for key, value in {"openinference.span.kind": kind, **attributes}.items():
        pair = span.attributes.add(key=key)
        if isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        elif isinstance(value, float):
            pair.value.double_value = value
        elif isinstance(value, list):
            for item in value:
                pair.value.array_value.values.add(string_value=str(item))
        else:
            pair.value.string_value = str(value)
    return span


def body(spans: list[Span], service: str = "bench-app") -> Body:
    """Pack spans into one gzipped request."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    for key, value in (("service.name", service), ("openinference.project.name", "bench")):
        group.resource.attributes.add(key=key).value.string_value = value
    under = group.scope_spans.add()
    under.scope.name = "tests.bench"
    under.spans.extend(spans)
    return Body(gzip.compress(request.SerializeToString(), 6), len(spans))
