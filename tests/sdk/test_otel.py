"""OpenTelemetry beside us: one tree in the dashboard, and not a bit changed in what the program exports elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stepscope
from stepscope import _context, _otel, testing
from tests.sdk.libraries import library, need
from tests.sdk.test_processes import SOURCE, ok, run

api = library("opentelemetry.trace")
sdk = library("opentelemetry.sdk.trace")
export = library("opentelemetry.sdk.trace.export")
memory = library("opentelemetry.sdk.trace.export.in_memory_span_exporter")
generator = library("opentelemetry.sdk.trace.id_generator")
otel = library("stepscope.otel")
openai = library("openai")

MESSAGES = [{"role": "user", "content": "Which tyres fit?"}]


@pytest.fixture(autouse=True)
def needed() -> Iterator[None]:
    need("opentelemetry-sdk", api, sdk, otel)
    yield
    assert not api.get_current_span().get_span_context().is_valid
    assert _context.current.get() is None
    _otel.adopted.clear()


class Counted:
    """Ids that are the same in every run."""

    def __init__(self) -> None:
        self.last = 1 << 40

    def generate_span_id(self) -> int:
        self.last += 1
        return self.last

    def generate_trace_id(self) -> int:
        self.last += 1
        return self.last << 64

    def is_trace_id_random(self) -> bool:
        return True


class App:
    """A program with an OpenTelemetry of its own, which exports elsewhere."""

    def __init__(self) -> None:
        self.exporter = memory.InMemorySpanExporter()
        self.provider = sdk.TracerProvider(id_generator=Counted(), shutdown_on_exit=False)
        self.provider.add_span_processor(export.SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("app", "1.2")

    def exported(self) -> list[tuple[object, ...]]:
        """What left, without the times."""
        return [
            (
                span.name, span.context.trace_id, span.context.span_id, span.parent, span.kind, dict(span.attributes),
                [event.name for event in span.events], span.status.status_code, span.resource.attributes,
            )
            for span in self.exporter.get_finished_spans()
        ]  # fmt: skip


def test_private_spans_and_steps_stand_in_one_tree():
    tracer = otel.tracer_provider().get_tracer("library", "0.9")
    with testing.capture() as steps, stepscope.step("request"):
        with tracer.start_as_current_span("theirs", attributes={"a": 1, "b": ["x", "y"]}) as span:
            with stepscope.step("ours"), tracer.start_as_current_span("inner theirs"):
                pass
            span.add_event("noted", {"n": 2})
        with stepscope.step("after"):
            pass

    steps.assert_tree("""
        request
          theirs (other)
            ours
              inner theirs (other)
          after
    """)
    theirs = steps.one("theirs")
    assert theirs.attributes == {"a": 1, "b": ["x", "y"]}
    assert theirs.events == [{"name": "noted", "n": 2}]


def test_private_spans_without_a_step_are_traces_of_their_own():
    tracer = otel.tracer_provider().get_tracer("library")
    with testing.capture() as steps, tracer.start_as_current_span("root"), tracer.start_as_current_span("child"):
        pass

    steps.assert_tree("root (other)\n  child (other)")


def test_a_private_span_that_fails_is_an_error():
    tracer = otel.tracer_provider().get_tracer("library")
    with testing.capture() as steps, pytest.raises(ValueError), tracer.start_as_current_span("work"):
        raise ValueError("no")

    assert steps.one().status == "error"
    assert steps.one().events[0]["exception.type"] == "ValueError"


def a_program(app: App, private: Any) -> None:
    """Spans of the program's own around, between and inside steps and private spans."""
    with app.tracer.start_as_current_span("server", kind=api.SpanKind.SERVER) as server:
        server.set_attribute("http.route", "/answer")
        with (
            stepscope.step("answer"),
            private.start_as_current_span("chat"),
            app.tracer.start_as_current_span("http call"),
            stepscope.step("deep"),
        ):
            app.tracer.start_span("not current").end()
        with app.tracer.start_as_current_span("database"):
            pass
    with (
        stepscope.step("job"),
        private.start_as_current_span("chat"),
        app.tracer.start_as_current_span("alone") as alone,
    ):
        alone.record_exception(ValueError("no"))


def test_what_the_program_exports_elsewhere_is_the_same_with_private_spans_and_without():
    plain = App()
    a_program(plain, api.NoOpTracerProvider().get_tracer("library"))
    beside = App()
    with testing.capture() as steps:
        a_program(beside, otel.tracer_provider().get_tracer("library"))

    assert beside.exported() == plain.exported()
    assert len(plain.exported()) == 5
    assert {step.name for step in steps} == {"answer", "chat", "deep", "job"}


def test_what_the_program_exports_elsewhere_is_the_same_when_we_join():
    plain = App()
    a_program(plain, api.NoOpTracerProvider().get_tracer("library"))
    joined = App()
    joined.provider.add_span_processor(otel.StepscopeSpanProcessor())
    with testing.capture() as steps:
        a_program(joined, otel.tracer_provider().get_tracer("library"))

    assert joined.exported() == plain.exported()
    steps.assert_tree("""
        server (other)
          answer
            chat (other)
              http call (other)
                deep
                  not current (other)
          database (other)
        job
          chat (other)
            alone (other)
    """)


def test_a_trace_that_begins_inside_a_step_stands_below_it():
    app = App()
    app.provider.add_span_processor(otel.StepscopeSpanProcessor())
    with (
        testing.capture() as steps,
        stepscope.step("job"),
        app.tracer.start_as_current_span("outer"),
        app.tracer.start_as_current_span("inner"),
        stepscope.step("ours"),
    ):
        pass

    steps.assert_tree("""
        job
          outer (other)
            inner (other)
              ours
    """)
    assert len({step.trace_id for step in steps}) == 1
    assert len({span[1] for span in app.exported()}) == 1
    assert f"{app.exported()[0][1]:032x}" != steps.one("job").trace_id


def test_spans_leave_with_their_librarys_name_live_and_masked(sink, sent):
    tracer = otel.tracer_provider().get_tracer("library", "0.9")
    with stepscope.step("request"), tracer.start_as_current_span("theirs") as span:
        span.set_attribute("llm.input", "key sk-abcdefghijklmnop1234567890")
        sink.wait(lambda: any(version.running and version.name == "theirs" for version in sink.versions()))
    sent()

    theirs = sink.spans()["theirs"]
    assert theirs.scope == "library"
    assert theirs.attributes["llm.input"] == "key [masked key]"
    assert theirs.parent_id == sink.spans()["request"].span_id
    assert sink.spans()["request"].scope == "stepscope"
    assert stepscope.status().recorded == 2


def test_spans_that_a_server_finds_too_large_together_arrive_in_halves(sink, sent):
    from tests.sdk.sink import Reply

    sink.reply = lambda number, request: Reply(413) if len(request.spans) > 1 else Reply()
    tracer = otel.tracer_provider().get_tracer("library")
    with stepscope.step("request"), tracer.start_as_current_span("one"), tracer.start_as_current_span("two"):
        pass
    sent()

    accepted = [request for request in sink.accepted() if len(request.spans) == 1]
    assert {request.spans[0]["name"] for request in accepted} == {"request", "one", "two"}
    assert sink.spans()["two"].scope == "library"


INSTRUMENTED = """
import json, openai, stepscope, stepscope.otel
from {module} import OpenAIInstrumentor
from examples.stand_in import StandIn
from stepscope import testing
from tests.sdk.test_otel import App, MESSAGES

app = App()
OpenAIInstrumentor().instrument(tracer_provider=stepscope.otel.tracer_provider(), skip_dep_check=True)
with (
    StandIn(speed=500) as model,
    openai.OpenAI(base_url=model.base_url, api_key="k") as client,
    testing.capture() as steps,
    app.tracer.start_as_current_span("server"),
    stepscope.step("request"),
):
    client.chat.completions.create(model="m", messages=MESSAGES)
    for _ in client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
        pass
request = steps.one("request")
theirs = [step for step in steps if step.attributes.get("stepscope.kind") is None]
assert len(theirs) == 2, steps.tree()
assert {{step.parent_id for step in theirs}} == {{request.span_id}}
assert "Which tyres fit?" in json.dumps(theirs[0].attributes)
assert [span[0] for span in app.exported()] == ["server"]
"""


@pytest.mark.parametrize(
    ("package", "module"),
    [
        ("openinference-instrumentation-openai", "openinference.instrumentation.openai"),
        ("opentelemetry-instrumentation-openai", "opentelemetry.instrumentation.openai"),
    ],
)
def test_an_instrumentation_of_others_nests_with_our_steps(sink, package, module):
    need(package, openai, library(module))
    # In a process of its own: what these patch, they don't all put back.
    path = os.pathsep.join((SOURCE, str(Path(__file__).parents[2])))
    done = run(INSTRUMENTED.format(module=module), sink, flags=("-W", "ignore"), PYTHONPATH=path)
    assert done.returncode == 0, done.stderr


def test_init_joins_the_programs_own_provider_when_asked(sink):
    code = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
import stepscope, sys
provider = TracerProvider()
trace.set_tracer_provider(provider)
stepscope.init()
assert "stepscope.otel" not in sys.modules
stepscope.init(otel="join")
stepscope.init(otel="join")
assert trace.get_tracer_provider() is provider
with trace.get_tracer("app").start_as_current_span("server"), stepscope.step("answer"):
    pass
"""
    ok(run(code, sink, flags=("-W", "ignore")))

    spans = sink.spans()
    assert len(sink.finals()) == 2
    assert spans["answer"].parent_id == spans["server"].span_id
    assert spans["server"].scope == "app"


def test_init_sets_a_provider_where_the_program_has_none_and_asks(sink):
    code = """
from opentelemetry import trace
import stepscope
with trace.get_tracer("app").start_as_current_span("before"):
    pass
stepscope.init(otel="join")
with trace.get_tracer("app").start_as_current_span("server"):
    pass
"""
    ok(run(code, sink, flags=("-W", "ignore")))

    assert set(sink.spans()) == {"server"}
