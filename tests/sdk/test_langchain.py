"""LangChain and LangGraph, instrumented: their runs are steps, ours stand where they belong, and nothing leaks."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

import stepscope
from examples.stand_in import StandIn
from stepscope import _context, testing
from tests.sdk.libraries import library, need

graphs = library("langgraph.graph")
prebuilt = library("langgraph.prebuilt")
langchain_openai = library("langchain_openai")
core = library("langchain_core")
documents, models, messages, prompts, retrievers, runnables, tools = (
    library(f"langchain_core.{name}")
    for name in ("documents", "language_models", "messages", "prompts", "retrievers", "runnables", "tools")
)

RUN = uuid.UUID(int=7)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:lang.*")


@pytest.fixture(autouse=True)
def instrumented(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    need("langgraph", graphs, prebuilt, core)
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    stepscope.instrument("langchain", "openai")
    yield
    from stepscope.integrations import langchain

    assert langchain._runs == {}
    assert _context.current.get() is None


def model(*answers: Any) -> Any:
    return models.GenericFakeChatModel(messages=iter(answers or ["Hello there"]))


def reply(step: testing.CapturedStep) -> str:
    found = json.loads(step.attributes["gen_ai.output.messages"])
    return "".join(part.get("content", "") for part in found[0]["parts"])


def test_a_chain_is_a_tree_with_the_programs_own_steps_in_it():
    @stepscope.step
    def tidy(text: str) -> str:
        return text.strip()

    prompt = prompts.ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{question}")])
    chain = (
        prompt
        | model(" Hello there ")
        | runnables.RunnableLambda(lambda message: tidy(message.content)).with_config(run_name="tidy up")
    )
    with testing.capture() as steps, stepscope.step("request"):
        assert chain.invoke({"question": "Hi?"}) == "Hello there"

    steps.assert_tree("""
        request
          RunnableSequence
            ChatPromptTemplate
            GenericFakeChatModel (llm)
            tidy up
              tidy
    """)
    call = steps.one(kind="llm")
    assert [message["role"] for message in json.loads(call.attributes["gen_ai.input.messages"])] == ["system", "user"]
    assert reply(call) == " Hello there "
    assert steps.one("RunnableSequence").input == {"question": "Hi?"}


def test_async_chains_and_parallel_branches_keep_their_parents():
    @stepscope.step
    async def look(text: str) -> str:
        await asyncio.sleep(0.01)
        return text

    async def work() -> None:
        chain = runnables.RunnableLambda(look).with_config(run_name="looking") | {
            "a": runnables.RunnableLambda(look).with_config(run_name="left"),
            "b": runnables.RunnableLambda(look).with_config(run_name="right"),
        }
        with stepscope.step("request"):
            assert await chain.ainvoke("x") == {"a": "x", "b": "x"}

    with testing.capture() as steps:
        asyncio.run(work())

    for name in ("looking", "left", "right"):
        assert [step.name.rpartition(".")[2] for step in steps.children(steps.one(name))] == ["look"]
    assert len({step.trace_id for step in steps}) == 1


def test_a_stream_leaks_nothing_into_its_consumer():
    chain = runnables.RunnableLambda(lambda text: text) | model("One two three")
    with testing.capture() as steps, stepscope.step("request"):
        got = ""
        for number, chunk in enumerate(chain.stream("x")):
            got += str(chunk.content)
            with stepscope.step(f"consumer {number}"):
                pass

    assert got == "One two three"
    request = steps.one("request")
    assert {step.parent_id for step in steps if step.name.startswith("consumer")} == {request.span_id}
    call = steps.one(kind="llm")
    assert reply(call) == "One two three" == call.output
    assert call.attributes["gen_ai.response.time_to_first_chunk"] > 0


def test_a_stream_that_is_dropped_ends_its_steps():
    with testing.capture() as steps:
        stream = model("One two three").stream("x")
        next(stream)
        stream.close()

    assert steps.one(kind="llm").end_time is not None


def test_tools_retrievers_and_failures_are_recorded():
    @tools.tool
    def lookup(order: str) -> str:
        """Look an order up."""
        raise KeyError(order)

    class Shelf(retrievers.BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Any]:
            return [
                documents.Document(page_content="Change pads in pairs.", id="m-12", metadata={"page": 3, "score": 0.5})
            ]

    with testing.capture() as steps:
        assert Shelf().invoke("brake pads")[0].id == "m-12"
        with pytest.raises(KeyError):
            lookup.invoke({"order": "A-17"})

    found = steps.one("Shelf", kind="retriever")
    assert found.input == "brake pads"
    assert found.attributes["retrieval.documents.0.document.content"] == "Change pads in pairs."
    assert found.attributes["retrieval.documents.0.document.score"] == 0.5
    failed = steps.one("lookup", kind="tool")
    assert failed.input == {"order": "A-17"}
    assert failed.events[0]["exception.type"] == "KeyError"


def build(answer: Any) -> Any:
    @stepscope.step(kind="tool")
    def inner(text: str) -> str:
        return text.upper()

    def shout(state: dict[str, Any]) -> dict[str, Any]:
        return {"messages": [messages.AIMessage(inner(str(state["messages"][-1].content)))]}

    def ask(state: dict[str, Any]) -> dict[str, Any]:
        return {"messages": [answer.invoke(state["messages"])]}

    graph = graphs.StateGraph(graphs.MessagesState)
    graph.add_node("ask", ask)
    graph.add_node("shout", shout)
    graph.add_edge(graphs.START, "ask")
    graph.add_edge("ask", "shout")
    graph.add_edge("shout", graphs.END)
    return graph.compile()


def test_a_graph_is_a_tree_of_its_nodes_with_its_thread_as_session():
    graph = build(model("hello"))
    with testing.capture() as steps:
        out = graph.invoke(
            {"messages": [messages.HumanMessage("Hi")]},
            {"configurable": {"thread_id": "t-7"}, "metadata": {"plan": "pro"}},
        )

    assert out["messages"][-1].content == "HELLO"
    steps.assert_tree(
        """
        LangGraph
          ask
            GenericFakeChatModel (llm)
          shout
            build.inner (tool)
    """.replace("build.inner", steps.one(kind="tool").name)
    )
    assert {step.attributes.get("session.id") for step in steps if step.kind == "chain"} == {"t-7"}
    assert json.loads(steps.one("LangGraph").attributes["metadata"])["plan"] == "pro"


def test_a_graph_that_is_streamed_keeps_its_tree_and_leaks_nothing():
    graph = build(model("hello"))
    with testing.capture() as steps, stepscope.step("request"):
        for number, _ in enumerate(graph.stream({"messages": [messages.HumanMessage("Hi")]})):
            with stepscope.step(f"consumer {number}"):
                pass

    request = steps.one("request")
    assert {step.parent_id for step in steps if step.name.startswith("consumer")} == {request.span_id}
    assert steps.one(kind="tool").parent_id == steps.one("shout").span_id


def test_an_async_graph_with_a_tool_node_keeps_its_tree():
    @tools.tool
    async def lookup(order: str) -> str:
        """Look an order up."""
        with stepscope.step("in the tool"):
            return f"{order}: on its way"

    call = {"name": "lookup", "args": {"order": "A-17"}, "id": "c-1", "type": "tool_call"}

    async def work() -> Any:
        graph = graphs.StateGraph(graphs.MessagesState)
        graph.add_node("tools", prebuilt.ToolNode([lookup]))
        graph.add_edge(graphs.START, "tools")
        return await graph.compile().ainvoke({"messages": [messages.AIMessage("", tool_calls=[call])]})

    with testing.capture() as steps:
        out = asyncio.run(work())

    assert out["messages"][-1].content == "A-17: on its way"
    step = steps.one("lookup", kind="tool")
    assert step.output == "A-17: on its way"
    assert [child.name for child in steps.children(step)] == ["in the tool"]
    assert step.attributes["gen_ai.tool.call.id"] == "c-1"


async def later(chat: Any) -> None:
    await chat.ainvoke("Which tyres fit?")
    await chat.root_async_client.close()


def test_a_chat_model_over_the_openai_client_is_one_branch_with_the_clients_call_below_it():
    need("langchain-openai", langchain_openai)
    with StandIn(speed=500) as stand_in:
        chat = langchain_openai.ChatOpenAI(model="m-1", base_url=stand_in.base_url, api_key="k", temperature=0.1)
        with testing.capture() as steps, stepscope.step("request"):
            answer = chat.invoke("Which tyres fit?")
            streamed = "".join(str(chunk.content) for chunk in chat.stream("Which tyres fit?"))
            asyncio.run(later(chat))
        chat.root_client.close()

    assert answer.content == streamed
    steps.assert_tree("""
        request
          ChatOpenAI (llm)
            chat m-1 (llm)
          ChatOpenAI (llm)
            chat m-1 (llm)
          ChatOpenAI (llm)
            chat m-1 (llm)
    """)
    outer = steps.all("ChatOpenAI")[0].attributes
    assert outer["gen_ai.request.model"] == "m-1"
    assert outer["gen_ai.provider.name"] == "openai"
    assert outer["gen_ai.usage.input_tokens"] == answer.usage_metadata["input_tokens"]
    assert outer["gen_ai.request.temperature"] == 0.1


def test_what_the_program_gets_is_what_it_gets_without_us():
    def said(found: Any) -> list[object]:
        return [(type(each), each.model_dump()) for each in found]

    async def streamed() -> list[object]:
        chunks = [chunk async for chunk in model("One two three").astream("x", config={"run_id": RUN})]
        return said(chunks)

    def fail(state: Any) -> Any:
        raise KeyError("no", state)

    def work() -> list[object]:
        graph = build(model(messages.AIMessage("hello", id="1")))
        out = graph.invoke({"messages": [messages.HumanMessage("Hi", id="0")]})
        found: list[object] = [type(out), [(type(each), str(each.content)) for each in out["messages"]]]
        found += said(model("One two three").stream("x", config={"run_id": RUN}))
        found += asyncio.run(streamed())
        failing = graphs.StateGraph(graphs.MessagesState)
        failing.add_node("fail", fail)
        failing.add_edge(graphs.START, "fail")
        for broken in (failing.compile().invoke, runnables.RunnableLambda(fail).invoke):
            with pytest.raises(KeyError) as caught:
                broken({"messages": []})
            error = caught.value
            notes = [note.partition(" and id")[0] for note in getattr(error, "__notes__", ())]
            found.append((type(error), error.args, error.__cause__, error.__context__, notes))
        return found

    without = work()
    with testing.capture() as steps:
        assert work() == without
    assert len(steps) > 6
