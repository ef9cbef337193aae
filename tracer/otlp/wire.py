"""OTLP's protobuf messages: the strict ones, and tolerant twins for bodies that the strict ones refuse.

The twins are made from the official descriptors with every string read as bytes and with the values inside an AnyValue
left unparsed, so that bad UTF-8 can be repaired and nesting followed to a depth that we choose.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from tracer.errors import BadPayload

MAX_DEPTH = 100
"""Levels of lists and maps inside one attribute; more is refused."""

TRACES = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest"
LOGS = "opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest"


@cache
def _tolerant_pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    kinds = descriptor_pb2.FieldDescriptorProto
    for module in (common_pb2, resource_pb2, trace_pb2, logs_pb2, trace_service_pb2, logs_service_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        pending = list(file.message_type)
        while pending:
            kind = pending.pop()
            pending += kind.nested_type
            for field in kind.field:
                nested = kind.name == "AnyValue" and field.type == kinds.TYPE_MESSAGE
                if field.type == kinds.TYPE_STRING or nested:
                    field.type = kinds.TYPE_BYTES
                    field.ClearField("type_name")
        pool.Add(file)
    return pool


@cache
def tolerant(name: str) -> Any:
    """The tolerant twin of the message called `name`."""
    return message_factory.GetMessageClass(_tolerant_pool().FindMessageTypeByName(name))


def parse(name: str, body: bytes) -> tuple[Any, bool]:
    """Parse a request; True with it when only the tolerant twin could.

    Raises BadPayload when the bytes are not that message at all.
    """
    strict = (
        trace_service_pb2.ExportTraceServiceRequest if name == TRACES else logs_service_pb2.ExportLogsServiceRequest
    )
    try:
        return strict.FromString(body), False
    except message.DecodeError:
        pass
    try:
        return tolerant(name).FromString(body), True
    except message.DecodeError:
        raise BadPayload("The body is not an OTLP protobuf request, or it is cut short.") from None
