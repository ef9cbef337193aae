"""A support agent for a bicycle shop: guardrails, a manual to search, tools that can fail, a streamed answer.

Run it with `python -m examples.support_agent "Where is my order A-2291?"`. Order A-2291 does not exist, and the agent
finds its way; order A-2250 lies in a warehouse that does not answer, and the whole chain fails.
"""

import json
import re
from collections.abc import Callable
from functools import cache
from typing import TypedDict

import stepscope
from examples import clock, kit, llm
from examples.llm import Json, Message

SHOP = "You work for Larch & Lever, a bicycle shop in Freiburg."

MANUAL = {
    "chain care": "Oil the chain every 200 km, and after every ride in rain. Wipe it first: oil on dirt makes grinding "
    "paste. Two drops a link are plenty, and what can be seen from outside should be wiped off again.",
    "chain wear": "A chain lasts 2,000 to 4,000 km. Measure it with the gauge: from 0.75 % on replace the chain, from "
    "1 % on replace the cassette too. A new chain on a worn cassette skips under load, mostly on the small sprockets.",
    "warranty": "Parts that wear (chain, cassette, brake pads, tyres) are covered for faults in the material, not for "
    "wear. A mechanic decides after looking at the part; nobody may promise a replacement before that.",
    "returns": "Clothing and accessories come back within 30 days, unworn, with the label. Helmets are never taken "
    "back once worn, because nobody can see what they have been through.",
    "delivery": "Parcels leave the workshop at noon and take one to three days. Only the day that the carrier gives "
    "may be told to customers. Bicycles come by forwarder, who calls the day before.",
    "tyres": "The Larch 28 takes tyres of 37 to 47 mm on a 622 rim, with mudguards up to 42 mm. The Alder cargo bike "
    "takes 55-406 in front and 62-559 behind; its load needs at least 3.5 bar.",
    "battery": "Store the battery half full and dry, between 5 and 20 degrees. It loses about a tenth of its range "
    "below freezing, and gets it back in spring. Never charge a frozen battery.",
    "first service": "After 300 km spokes settle and cables stretch, so the first service is free: book it within "
    "three months of buying the bicycle.",
}


class Order(TypedDict):
    """An order as the shop's record has it."""

    customer: str
    items: list[str]
    status: str
    expected: str | None


ORDERS: dict[str, Order] = {
    "A-2204": {
        "customer": "jonas",
        "items": ["chain X11", "fitting"],
        "status": "collected 9 weeks ago",
        "expected": None,
    },
    "A-2219": {
        "customer": "mara",
        "items": ["Larch 28 mudguards"],
        "status": "left this morning",
        "expected": "Tuesday",
    },
    "A-2231": {"customer": "tom", "items": ["rain jacket M"], "status": "delivered 6 days ago", "expected": None},
    "A-2250": {
        "customer": "lucia",
        "items": ["Alder front wheel"],
        "status": "in the outer warehouse",
        "expected": None,
    },
}
STOCK = {"tyre 40-622": 14, "tyre 47-622": 3, "rain jacket L": 2, "rain jacket XL": 0, "chain X11": 31}


class OrderNotFound(Exception):
    """There is no order with this number."""


class WarehouseDown(Exception):
    """The outer warehouse's system does not answer."""


@stepscope.step(kind="guardrail")
def check_input(question: str) -> dict[str, Json]:
    """Say whether the question may go to the model."""
    if re.search(r"(ignore|forget) (all |your )*(previous |earlier )?(instructions|rules)", question, re.IGNORECASE):
        return {"allowed": False, "reason": "asks the model to drop its instructions"}
    if len(question) > 2_000:
        return {"allowed": False, "reason": "longer than 2,000 characters"}
    return {"allowed": True}


@cache
def manual_vectors() -> list[list[float]]:
    """Embed the manual, once a process."""
    return llm.embed("embed_manual", [f"{title}. {text}" for title, text in MANUAL.items()])


def search_manual(question: str, count: int = 3) -> list[str]:
    """Find the manual's pages that are closest to the question."""
    with stepscope.step("search_manual", kind="retriever") as search:
        search.input = question
        (wanted,) = llm.embed("embed_query", [question])
        scores = [llm.closeness(wanted, vector) for vector in manual_vectors()]
        ranked = sorted(zip(scores, MANUAL.items(), strict=True), reverse=True)[:count]
        search.documents = [{"id": title, "content": text, "score": round(score, 3)} for score, (title, text) in ranked]
        return [f"{title}: {text}" for _, (title, text) in ranked]


def plan(question: str, pages: list[str]) -> str:
    """Ask the model how to go about the question."""
    system = f"{SHOP} Plan how to answer the customer: two or three short steps. Do not answer yet."
    user = f"{question}\n\nPages of the manual:\n" + "\n".join(pages)
    return llm.chat("plan", [llm.system(system), llm.user(user)], max_tokens=150).text


def lookup_order(order_id: str) -> Order:
    """Read an order from the shop's record."""
    clock.pause(0.5)  # the record lives in another building
    order = ORDERS.get(order_id)
    if order is None:
        near = [known for known in ORDERS if sorted(known) == sorted(order_id)]
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise OrderNotFound(f"no order {order_id!r}{hint}")
    if "outer warehouse" in order["status"]:
        clock.pause(2.5)
        raise WarehouseDown("warehouse-2 did not answer within 2.5 s")
    return order


def check_stock(article: str) -> dict[str, Json]:
    """Count what is on the shelf."""
    clock.pause(0.2)
    return {"article": article, "pieces": STOCK.get(article, 0)}


def open_return(order_id: str, reason: str) -> dict[str, Json]:
    """Open a return for an order and make its label."""
    clock.pause(0.4)
    return {"return": f"R-{order_id[2:]}", "order": order_id, "reason": reason, "label": "sent by e-mail"}


TOOLS: dict[str, Callable[..., object]] = {
    "lookup_order": lookup_order,
    "check_stock": check_stock,
    "open_return": open_return,
}
TOOL_SCHEMAS = [
    llm.tool("lookup_order", "Read an order: items, status, expected day.", order_id="the order's number, like A-2204"),
    llm.tool("check_stock", "Count the pieces of an article on the shelf.", article="the article and its size"),
    llm.tool("open_return", "Open a return.", order_id="the order's number", reason="why, in a few words"),
]


@stepscope.step(kind="agent")
def resolve(question: str, steps: str, customer: str) -> str:
    """Let the model call tools until it has the facts; give back the facts as it puts them."""
    system = (
        f"{SHOP} Gather the facts for the customer {customer!r} with the tools, then list them in one or two sentences."
    )
    messages: list[Message] = [llm.system(system), llm.user(f"{question}\n\nPlan:\n{steps}")]
    for _ in range(6):
        reply = llm.chat("choose_tool", messages, tools=TOOL_SCHEMAS, max_tokens=200)
        if not reply.calls:
            return reply.text
        messages.append(reply.message)
        messages.extend(llm.tool_result(call.id, use_tool(call)) for call in reply.calls)
    raise RuntimeError("no answer after six rounds of tools")


def use_tool(call: llm.ToolCall) -> str:
    """Call the tool the model asked for. A mistake of the model's goes back to it; a broken system does not."""
    try:
        with stepscope.step(call.name, kind="tool") as step:
            step.tool_call_id = call.id
            step.input = call.arguments
            step.output = result = TOOLS[call.name](**call.arguments)
            return json.dumps(result)
    except (OrderNotFound, KeyError, TypeError) as mistake:
        return f"{type(mistake).__name__}: {mistake}"


DRAFT = llm.Prompt(
    name="draft",
    version="14",
    template="{question}\n\nFacts:\n{facts}\n\nPages of the manual:\n{pages}{objection}",
)


def draft_answer(question: str, facts: str, pages: list[str], objection: str = "") -> str:
    """Write the answer, streamed: it grows in the dashboard while the model speaks."""
    system = (
        f"{SHOP} Write the answer in the customer's language, from the facts and pages alone. Promise nothing else."
    )
    stopped = f"\n\nYour last draft was stopped: {objection}" if objection else ""
    prompt = DRAFT.fill(question=question, facts=facts, pages="\n".join(pages), objection=stopped)
    messages = [llm.system(system), llm.user(str(prompt))]
    return llm.chat("draft_answer", messages, stream=True, size="large", prompt=prompt).text


@stepscope.step(kind="guardrail")
def check_output(answer: str, facts: str) -> dict[str, Json]:
    """Stop an answer that promises money or parts which the facts do not promise."""
    promise = re.search(r"free of charge|full refund|we guarantee|kostenlos", answer, re.IGNORECASE)
    if promise and promise[0].lower() not in facts.lower():
        return {"allowed": False, "reason": f"promises {promise[0]!r}, which the facts do not say"}
    return {"allowed": True}


@stepscope.step
def answer_question(question: str, customer: str = "mara") -> str:
    """Answer a customer's question, or say politely that we won't."""
    if not check_input(question)["allowed"]:
        return "I can help with your order, our bicycles and their care. What would you like to know?"
    pages = search_manual(question)
    facts = resolve(question, plan(question, pages), customer)
    answer = draft_answer(question, facts, pages)
    verdict = check_output(answer, facts)
    if not verdict["allowed"]:
        answer = draft_answer(question, facts, pages, objection=str(verdict["reason"]))
        check_output(answer, facts)
    return answer


def serve(question: str, customer: str) -> str:
    """Answer a question that came in by the shop's contact form; every step of it knows the customer."""
    with stepscope.context(user=customer, tags=["support"], metadata={"channel": "contact form"}):
        return answer_question(question, customer)


def main() -> int:
    """Ask one question from the command line."""
    options = kit.options(__doc__, question="Where is my order A-2291? I was told Tuesday.", customer="mara")
    stepscope.init(project=kit.PROJECT)
    return kit.show(options, lambda: serve(options.question, options.customer))


if __name__ == "__main__":
    raise SystemExit(main())
