"""Research over a small library: embed, retrieve, rerank, summarise in parallel with asyncio, then write it up.

Run it with `python -m examples.research_rag "Are belt drives worth it for commuters?"`. The four summaries run at the
same time; when the model's server says "too many requests" for one of them, its second try is a step of its own.
"""

import asyncio
import re
from dataclasses import dataclass
from functools import cache

import stepscope
from examples import kit, llm
from examples.llm import Json


@dataclass(frozen=True)
class Passage:
    """A paragraph of the shop's library."""

    title: str
    year: int
    text: str


LIBRARY = (
    Passage(
        "Belt drives, five winters on", 2024,
        "We followed sixty commuters who changed from chain to belt. After five winters the median belt had run "
        "21,000 km without oil, while the chains of the control group were replaced every 3,100 km. The belt's price "
        "was earned back in the fourth year. Nine riders went back: a broken belt cannot be mended at the roadside.",
    ),
    Passage(
        "What a belt needs from a frame", 2022,
        "A belt cannot be opened, so the frame needs a gap in the right stay, and it wants a stiff rear end and an "
        "exact line. Retrofitting an ordinary frame is rarely worth it. Belts run with hub gears only, which cost "
        "two to four per cent more effort than a clean derailleur.",
    ),
    Passage(
        "Losses in the drivetrain", 2023,
        "A clean, oiled chain loses about two per cent of the rider's power, a dirty one up to five. Belts lose more "
        "than clean chains at low power because of their tension, and less than dirty chains at any power. For "
        "commuters the dirt decides, not the laboratory.",
    ),
    Passage(
        "Salt", 2021,
        "Road salt draws water and keeps parts wet when the road has long dried. In our test an unwashed chain in "
        "salted slush stretched by 0.75 % in 900 km. Rinsing with cold water after each ride doubled its life. Warm "
        "water works salt deeper into the bearings.",
    ),
    Passage(
        "Wider tyres do not roll slower", 2023,
        "On a steel drum narrow tyres win. On asphalt they don't: vibration costs the rider energy that the drum "
        "never sees. Between 28 and 40 mm we measured no difference at 25 km/h on smooth roads, and an advantage of "
        "three per cent for the wider tyre on cobbles.",
    ),
    Passage(
        "Pressure matters more than width", 2024,
        "Most commuters ride with too much pressure. Taking a 40 mm tyre from 5 to 3.5 bar made rough roads four per "
        "cent easier and no smooth road harder. Below 2.5 bar the tyre began to squirm in bends.",
    ),
    Passage(
        "Punctures in numbers", 2022,
        "Of 412 punctures, 71 % came from glass and grit, 18 % from pinching a soft tyre, and the rest from thorns "
        "and worn rim tape. Tubeless tyres closed four of five holes without the rider noticing. Their sealant "
        "dried out within five months, and nobody topped it up.",
    ),
    Passage(
        "Tubeless for people who hate work", 2025,
        "Tubeless pays for those who ride much and care for their bicycle. Who rides in winter and leaves it outside "
        "finds the sealant dried or, below minus fifteen degrees, frozen. A tyre with a protection belt and a tube "
        "is heavier, and never needs a compressor.",
    ),
    Passage(
        "Batteries in the cold", 2023,
        "At minus five degrees a warm battery loses eight per cent of its range, one that spent the night outside "
        "twenty-two. Carrying it indoors is worth more than any cover. Charging below zero plates lithium, and that "
        "loss is for good.",
    ),
    Passage(
        "Why children stop cycling", 2024,
        "We asked 300 families. The heavy bicycle came first, the road to school second, the weather last. A "
        "bicycle that weighs more than 40 % of the child was left at home within a year.",
    ),
    Passage(
        "Cargo bikes and the second car", 2025,
        "Of 140 households that bought a cargo bike, 58 gave up a car within two years, most of them their second. "
        "They rode 2,300 km a year. Those who kept the car named trips beyond 15 km and the lack of a safe place to "
        "leave the bike.",
    ),
    Passage(
        "Lights that are seen", 2022,
        "Flashing lights are noticed from further away, and their distance is judged worse. A steady light low on "
        "the fork with a reflective strip on the wheel gave the best result in our test with 90 drivers.",
    ),
)  # fmt: skip


@cache
def library_vectors() -> list[list[float]]:
    """Embed the library, once a process."""
    return llm.embed("embed_library", [f"{passage.title}. {passage.text}" for passage in LIBRARY])


def retrieve(query: str, count: int = 8) -> list[Passage]:
    """Take the passages whose meaning is closest to the query."""
    with stepscope.step("retrieve", kind="retriever") as search:
        search.input = query
        (wanted,) = llm.embed("embed_query", [query])
        scores = [llm.closeness(wanted, vector) for vector in library_vectors()]
        found = sorted(zip(scores, LIBRARY, strict=True), key=lambda pair: pair[0], reverse=True)[:count]
        search.documents = [document(passage, score) for score, passage in found]
        return [passage for _, passage in found]


def rerank(query: str, passages: list[Passage], count: int = 4) -> list[Passage]:
    """Put the passages first that share rare words with the query; words that stand in many passages count little."""

    def weight(word: str) -> float:
        return 1 / (1 + sum(word in passage.text.lower() for passage in LIBRARY))

    with stepscope.step("rerank", kind="reranker") as ranking:
        ranking.input = {"query": query, "passages": [passage.title for passage in passages]}
        wanted = set(re.findall(r"\w{4,}", query.lower()))
        scored = [
            (sum(weight(word) for word in wanted if word[:6] in f"{passage.title} {passage.text}".lower()), passage)
            for passage in passages
        ]
        best = sorted(scored, key=lambda pair: pair[0], reverse=True)[:count]
        ranking.documents = [document(passage, score) for score, passage in best]
        return [passage for _, passage in best]


def document(passage: Passage, score: float) -> dict[str, Json]:
    """Write a passage as a retriever's document."""
    return {"id": passage.title, "content": passage.text, "score": round(score, 3), "metadata": {"year": passage.year}}


@stepscope.step
async def summarise(question: str, passage: Passage) -> str:
    """Boil one passage down to what it says about the question."""
    system = (
        "You read for a bicycle shop's library. Summarise what the passage says about the question, in two sentences."
    )
    user = f"{question}\n\n{passage.text}"
    reply = await llm.achat("read_passage", [llm.system(system), llm.user(user)], max_tokens=120, attempts=3)
    return f"{reply.text} [{passage.title}, {passage.year}]"


@stepscope.step
async def research(question: str) -> str:
    """Answer a question from the library, with the sources named."""
    system = "You search a bicycle shop's library. Rewrite the question as one line of search words."
    query = (await llm.achat("rewrite_question", [llm.system(system), llm.user(question)], max_tokens=40)).text
    passages = rerank(query, await asyncio.to_thread(retrieve, query))
    notes = await asyncio.gather(*(summarise(question, passage) for passage in passages))
    system = "You write for a bicycle shop's library. Answer the question from the notes; name each note you use."
    user = f"{question}\n\n" + "\n\n".join(notes)
    reply = await llm.achat("write_answer", [llm.system(system), llm.user(user)], stream=True, size="large")
    return reply.text


def serve(question: str) -> str:
    """Answer a question that came in by the library's page."""
    with stepscope.tags("library"):
        return asyncio.run(research(question))


def main() -> int:
    """Research one question from the command line."""
    options = kit.options(__doc__, question="Are belt drives worth it for commuters?")
    stepscope.init(project=kit.PROJECT)
    return kit.show(options, lambda: serve(options.question))


if __name__ == "__main__":
    raise SystemExit(main())
