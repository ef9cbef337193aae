"""What the stand-in model says in the support agent's chain."""

from dataclasses import dataclass, replace

from examples.script.base import Asked, Call, Line, Reply, Scene, call, calls, first


@dataclass(frozen=True)
class Case:
    """One customer's question, and what the model says in each step of the chain."""

    asked: str
    plan: str
    facts: tuple[Line, ...]
    answer: str
    second_answer: str = ""


CASES = (
    Case(
        asked="A-2291",
        plan="1. Look up order A-2291.\n2. If it is on its way, take the day from the carrier, not from memory.\n"
        "3. Tell that day, or say plainly that there is none. The manual is not needed.",
        facts=(
            call("lookup_order", order_id="A-2291"),
            call("lookup_order", order_id="A-2219"),
            "There is no order A-2291. A-2219 belongs to the same customer: mudguards for the Larch 28, left the "
            "workshop this morning, expected on Tuesday.",
        ),
        answer="I could not find an order with the number A-2291. Could it be **A-2219**? Two digits may have changed "
        "places. That one, the mudguards for your Larch 28, left our workshop this morning and arrives on Tuesday, "
        "as you were told.\n\nIf you meant another order, send me the e-mail address you ordered with and I will look "
        "it up.",
    ),
    Case(
        asked="A-2219",
        plan="1. Look up order A-2219.\n2. Tell the carrier's day and nothing beyond it.",
        facts=(
            call("lookup_order", order_id="A-2219"),
            "A-2219, mudguards for the Larch 28, left the workshop this morning and is expected on Tuesday.",
        ),
        answer="Good news: your mudguards left our workshop this morning. The carrier expects to hand them over on "
        "**Tuesday**. You will get a message from them on the morning of that day.",
    ),
    Case(
        asked="A-2204",
        plan="1. Look up order A-2204: how old is the chain, and did we fit it?\n2. Compare with the pages on chain "
        "wear and warranty.\n3. Explain what skipping usually means, and what a mechanic has to see first.",
        facts=(
            call("lookup_order", order_id="A-2204"),
            "Order A-2204: chain X11, fitted by us, collected nine weeks ago. A mechanic has to look at it before "
            "anything can be said about warranty.",
        ),
        answer="I am sorry about that. A chain we fitted nine weeks ago should not skip, so bring the bicycle in and "
        "we will replace chain and cassette free of charge.",
        second_answer="I am sorry about that. A chain that is only nine weeks old and skips on the small sprockets "
        "often sits on a cassette that is worn more than it is, and then a new chain alone does not help.\n\nPlease "
        "bring the bicycle in: the mechanic who fitted it measures chain and cassette while you wait, and decides "
        "what the warranty covers once the parts have been seen. Until then, stay off the smallest sprocket.",
    ),
    Case(
        asked="A-2250",
        plan="1. Look up order A-2250.\n2. If it lies in the outer warehouse, ask there for the day it leaves.",
        facts=(call("lookup_order", order_id="A-2250"), "The warehouse did not answer."),
        answer="I cannot see your order right now.",
    ),
    Case(
        asked="A-2231|jacket",
        plan="1. Look up order A-2231: is it within 30 days?\n2. Check the stock of the next size.\n"
        "3. Open a return, as long as the jacket is unworn.",
        facts=(
            call("lookup_order", order_id="A-2231"),
            call("check_stock", article="rain jacket L"),
            call("open_return", order_id="A-2231", reason="too small, exchange for L"),
            "A-2231: rain jacket M, delivered six days ago. Two pieces in L are on the shelf. Return R-2231 is open, "
            "the label was sent by e-mail.",
        ),
        answer="No trouble at all. The jacket came six days ago, so there is plenty of time: I have opened the return "
        "**R-2231**, and the label is in your inbox. Please leave the shop's label on the sleeve.\n\nWe have two "
        "jackets in L. Shall I put one aside for you?",
    ),
    Case(
        asked="tyre",
        plan="1. Take the sizes that fit the Larch 28 from the manual.\n2. Check the stock of a 40 and of a 47.\n"
        "3. Mention the mudguards: they decide.",
        facts=(
            calls(Call("check_stock", {"article": "tyre 40-622"}), Call("check_stock", {"article": "tyre 47-622"})),
            "In stock: 14 of the 40-622 and 3 of the 47-622. With mudguards the Larch 28 takes no more than 42 mm.",
        ),
        answer="Your Larch 28 takes tyres from 37 to 47 mm wide. With mudguards the limit is 42 mm, so the **40-622** "
        "is the one to take; there are 14 on the shelf. Without mudguards the 47-622 rides softer, and we have three "
        "of those.\n\nBoth go on the same rim, so you can change your mind later.",
    ),
    Case(
        asked="Kette",
        plan="1. Seite «chain care» reicht aus.\n2. Kein Werkzeug nötig.\n3. Auf Deutsch antworten, kurz.",
        facts=("Alle 200 km und nach jeder Regenfahrt ölen; vorher abwischen; zwei Tropfen je Glied.",),
        answer="Alle **200 Kilometer**, und nach jeder Fahrt im Regen. Wischen Sie die Kette vorher ab: Öl auf Schmutz "
        "wird zu Schleifpaste.\n\nZwei Tropfen je Glied reichen. Was danach außen noch glänzt, darf wieder herunter, "
        "denn es fängt nur Staub.",
    ),
)


def play(asked: Asked) -> Reply | None:
    """Reply as the shop's model, when the request is one of its chain's."""
    if "Larch & Lever" not in asked.system:
        return None
    question, _, rest = asked.user.partition("\n\n")
    asked = replace(asked, user=question)
    if "Plan how" in asked.system:
        return first([Scene(case.asked, [case.plan]) for case in CASES], asked)
    if "Gather the facts" in asked.system:
        return first([Scene(case.asked, case.facts) for case in CASES], asked)
    if "Write the answer" in asked.system:
        again = "Your last draft was stopped" in rest
        return first([Scene(case.asked, [(again and case.second_answer) or case.answer]) for case in CASES], asked)
    return None
