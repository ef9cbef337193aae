"""Calls a decorated function many times, in the environment of the SDK that decorates it; standard library only.

    python sdk_worker.py SDK PORT VALUES CALLS PACE     prints one line of JSON

VALUES is `text` (1 KB in, 1 KB out), `dict` (1 KB in eight texts, both ways), `model` (the same as a pydantic model) or
`large` (1 MB texts). With PACE `paced`, calls come in hundreds with a pause between, so that the figure is the cost on
the caller's thread; `tight` never pauses, so that the fight for the interpreter and full queues show.

    python sdk_worker.py SDK PORT VALUES CALLS dead BYTES

is a tight loop with a new argument of BYTES each time, `text` or the same in eight texts, while nobody listens at PORT.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import string
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

TIGHT_SECONDS = 15.0
Decorator = Callable[[Callable[[Any], Any]], Callable[[Any], Any]]
Ready = tuple[Decorator, Callable[[], object]]


def load(name: str) -> Any:
    """Import what the environment of the SDK under test has."""
    return import_module(name)


def stepscope(url: str) -> Ready:
    stepscope = load("stepscope")

    stepscope.init(project="bench", endpoint=url)
    return stepscope.step, lambda: stepscope.flush(60)


def opentelemetry(url: str) -> Ready:
    """OpenTelemetry's own SDK, with no library on top: two attributes a span."""
    OTLPSpanExporter = load("opentelemetry.exporter.otlp.proto.http.trace_exporter").OTLPSpanExporter
    TracerProvider = load("opentelemetry.sdk.trace").TracerProvider
    BatchSpanProcessor = load("opentelemetry.sdk.trace.export").BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces")))
    tracer = provider.get_tracer("bench")

    def decorate(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def wrapper(value: Any) -> Any:
            with tracer.start_as_current_span("work") as span:
                span.set_attribute("input.value", value if isinstance(value, str) else plain(value))
                result = function(value)
                span.set_attribute("output.value", result if isinstance(result, str) else plain(result))
                return result

        return wrapper

    return decorate, provider.force_flush


def phoenix(url: str) -> Ready:
    """Phoenix with OpenInference's decorators."""
    register = load("phoenix.otel").register

    provider = register(
        endpoint=f"{url}/v1/traces", protocol="http/protobuf", batch=True, project_name="bench", verbose=False,
        set_global_tracer_provider=False,
    )  # fmt: skip
    return provider.get_tracer("bench").chain, provider.force_flush


def mlflow(url: str) -> Ready:
    """MLflow sending OTLP; without the exporter's package it would record and send nothing, and say nothing."""
    load("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{url}/v1/traces"
    os.environ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"
    mlflow = load("mlflow")
    provider = load("mlflow.tracing.provider").provider

    mlflow.set_tracking_uri(url)
    return mlflow.trace, lambda: getattr(provider.get(), "force_flush", lambda: None)()


def langfuse(url: str) -> Ready:
    Langfuse, observe = load("langfuse").Langfuse, load("langfuse").observe

    client = Langfuse(base_url=url, public_key="pk-lf-bench", secret_key="sk-lf-bench")
    return observe(), client.flush


def logfire(url: str) -> Ready:
    logfire = load("logfire")

    logfire.configure(
        token="bench", console=False, service_name="bench", advanced=logfire.AdvancedOptions(base_url=url)
    )
    return lambda function: logfire.instrument("work", extract_args=True, record_return=True)(
        function
    ), logfire.force_flush


def langsmith(url: str) -> Ready:
    os.environ.update(LANGSMITH_TRACING="true", LANGSMITH_ENDPOINT=url, LANGSMITH_API_KEY="b", LANGSMITH_PROJECT="b")
    traceable = load("langsmith").traceable
    get_cached_client = load("langsmith.run_trees").get_cached_client

    return traceable, lambda: get_cached_client().flush()


def opik(url: str) -> Ready:
    os.environ.update(
        OPIK_URL_OVERRIDE=f"{url}/api", OPIK_WORKSPACE="default", OPIK_SENTRY_ENABLE="false", OPIK_PROJECT_NAME="bench"
    )
    opik = load("opik")

    return opik.track, opik.flush_tracker


def traceloop(url: str) -> Ready:
    os.environ["TRACELOOP_TELEMETRY"] = "false"
    Traceloop = load("traceloop.sdk").Traceloop
    task = load("traceloop.sdk.decorators").task
    TracerWrapper = load("traceloop.sdk.tracing.tracing").TracerWrapper

    Traceloop.init(app_name="bench", api_endpoint=url, api_key="x", disable_batch=False, telemetry_enabled=False)
    return task(name="work"), TracerWrapper().flush


READY: dict[str, Callable[[str], Ready]] = {
    ready.__name__: ready
    for ready in (stepscope, opentelemetry, phoenix, mlflow, langfuse, logfire, langsmith, opik, traceloop)
}


def plain(value: Any) -> str:
    return json.dumps(value if isinstance(value, dict) else value.model_dump())


def values(sort: str) -> tuple[list[Any], list[Any]]:
    """Return arguments and results, all different, none made while the clock runs."""
    rng = random.Random(3)
    letters = string.ascii_lowercase + "     "

    def text(length: int) -> str:
        return "".join(rng.choices(letters, k=length))

    if sort == "text":
        return [text(1024) for _ in range(64)], [text(1024) for _ in range(64)]
    if sort == "large":
        return [text(1024) * 1024 for _ in range(8)], [text(1024) * 1024 for _ in range(8)]
    dicts = [{f"part_{part}": text(120) for part in range(8)} for _ in range(128)]
    if sort == "dict":
        return dicts[:64], dicts[64:]
    create_model = load("pydantic").create_model

    parts: Any = {f"part_{part}": (str, ...) for part in range(8)}
    model: Any = create_model("Value", **parts)
    models = [model(**one) for one in dicts]
    return models[:64], models[64:]


def main() -> None:
    """Measure, and print what was found."""
    sdk, port, sort, calls, pace = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]
    if pace == "dead":
        print(json.dumps(dead(sdk, port, sort, calls, int(sys.argv[6]))), flush=True)
        os._exit(0)
    given, results = values(sort)
    count = len(given)
    place = {id(value): result for value, result in zip(given, results)}  # noqa: B905

    def work(value: Any) -> Any:
        return place[id(value)]

    decorate, flush = READY[sdk](f"http://127.0.0.1:{port}")
    recorded = decorate(work)
    for number in range(min(50, calls)):
        recorded(given[number % count])
    flush()
    time.sleep(0.5)
    bare = run(work, given, calls, paced=False)
    cpu = time.process_time()
    with_sdk = run(recorded, given, calls, paced=pace == "paced")
    flush()
    done = len(with_sdk) * min(100, calls)
    found = {
        "us": statistics.median(with_sdk) - statistics.median(bare),
        "cpu_us": (time.process_time() - cpu) / done * 1e6,
        "calls": done + min(50, calls),
    }
    print(json.dumps(found), flush=True)
    os._exit(0)


def dead(sdk: str, port: str, sort: str, calls: int, size: int) -> dict[str, float]:
    """Return milliseconds of the middle and of the slowest calls, and by how many MiB the process grew."""
    decorate, _ = READY[sdk](f"http://127.0.0.1:{port}")
    recorded = decorate(lambda value: value)
    for _ in range(200):
        recorded("warm")
    time.sleep(0.5)
    clock, part = time.perf_counter_ns, size // 8
    took: list[int] = []
    before = most = resident()
    for number in range(calls):
        text = str(number).zfill(8) * part
        value: Any = text
        if sort == "dict":
            value = {f"part {at}": text[at * part : at * part + part] for at in range(8)}
        begun = clock()
        recorded(value)
        took.append(clock() - begun)
        if not number % 100:
            most = max(most, resident())
    slow = statistics.quantiles(took, n=100)[-1]
    return {"p50": statistics.median(took) / 1e6, "p99": slow / 1e6, "grown": most - before}


def resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(function: Callable[[Any], Any], given: list[Any], calls: int, *, paced: bool) -> list[float]:
    """Return microseconds a call, of each hundred calls; a slow SDK makes fewer in a tight loop."""
    out: list[float] = []
    clock, count = time.perf_counter, len(given)
    each = min(100, calls)
    latest = clock() + TIGHT_SECONDS
    for start in range(0, calls, each):
        begun = clock()
        for number in range(start, start + each):
            function(given[number % count])
        out.append((clock() - begun) / each * 1e6)
        if paced:
            time.sleep(0.05)
        elif clock() > latest:
            break
    return out


if __name__ == "__main__":
    main()
