"""An agent that answers questions from a real database: it writes SQL, fails, reads the error, and mends its query.

Run it with `python -m examples.sql_agent "Which three products earned most in spring?"`. The database is a small SQLite
one in memory, and it cannot be written to. Asked to list every order with all details, the agent carries the whole
table into the conversation, and a model with a small window refuses it: a failure that many agents know.
"""

import json
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from functools import partial

import stepscope
from examples import clock, kit, llm
from examples.llm import Json, Message

SCHEMA = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, city TEXT, since TEXT);
CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT, category TEXT, price_cents INTEGER);
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INTEGER, bought_on TEXT, paid_by TEXT);
CREATE TABLE purchase_line (purchase_id INTEGER, product_id INTEGER, quantity INTEGER, unit_cents INTEGER);
CREATE TABLE repair (id INTEGER PRIMARY KEY, customer_id INTEGER, mechanic TEXT, promised_on TEXT, finished_on TEXT);
"""
PRODUCTS = (
    ("Larch 28", "bicycle", 129_900), ("Alder cargo", "bicycle", 389_900), ("Rowan gravel", "bicycle", 189_900),
    ("tyre 40-622", "part", 3_490), ("chain X11", "part", 2_990), ("cassette 11-34", "part", 5_490),
    ("rain jacket", "clothing", 11_900), ("helmet Finch", "clothing", 7_900), ("front light", "part", 6_990),
    ("child seat", "accessory", 13_900), ("pannier pair", "accessory", 9_900), ("pump", "accessory", 2_490),
)  # fmt: skip
PEOPLE = (
    "Mara", "Tom", "Lucia", "Jonas", "Aiko", "Emre", "Nadia", "Paul",
    "Greta", "Oskar", "Ines", "Yusuf", "Hanna", "Felix", "Rosa", "Milan",
)  # fmt: skip
CITIES = ("Freiburg", "Emmendingen", "Kirchzarten", "Staufen")
MECHANICS = ("Bea", "Karim", "Viktor")


def make_database() -> sqlite3.Connection:
    """Build the shop's books of one year; the same every time, and closed for writing afterwards."""
    dice = random.Random(28)
    books = sqlite3.connect(":memory:")
    books.executescript(SCHEMA)
    new_year = date(2026, 1, 1)
    people = [(n, name, dice.choice(CITIES), f"{2019 + n % 7}-03-01") for n, name in enumerate(PEOPLE, start=1)]
    books.executemany("INSERT INTO customer VALUES (?, ?, ?, ?)", people)
    books.executemany("INSERT INTO product VALUES (?, ?, ?, ?)", [(n, *row) for n, row in enumerate(PRODUCTS, start=1)])
    for number in range(1, 421):
        day = new_year + timedelta(days=dice.randrange(300))
        paid_by = dice.choice(("card", "cash", "invoice"))
        books.execute("INSERT INTO purchase VALUES (?, ?, ?, ?)", (number, dice.randint(1, 16), str(day), paid_by))
        for product in dice.sample(range(1, 13), dice.choice((1, 1, 2, 3))):
            line = (number, product, 1 if product < 4 else dice.randint(1, 3), PRODUCTS[product - 1][2])
            books.execute("INSERT INTO purchase_line VALUES (?, ?, ?, ?)", line)
    for number in range(1, 91):
        promised = new_year + timedelta(days=dice.randrange(300))
        finished = promised + timedelta(days=dice.choice((-1, 0, 0, 0, 1, 4)))
        row = (number, dice.randint(1, 16), dice.choice(MECHANICS), str(promised), str(finished))
        books.execute("INSERT INTO repair VALUES (?, ?, ?, ?, ?)", row)
    books.commit()
    books.execute("PRAGMA query_only = ON")
    return books


def run_sql(books: sqlite3.Connection, query: str) -> dict[str, Json]:
    """Run one query; raises sqlite3.Error with the database's own words when it cannot."""
    clock.pause(0.15)
    cursor = books.execute(query)
    rows: list[Json] = [list(row) for row in cursor]
    return {"columns": [column[0] for column in cursor.description or ()], "rows": rows}


TOOL_SCHEMAS = [
    llm.tool("describe_tables", "List the tables and their columns."),
    llm.tool("run_sql", "Run one SELECT in SQLite's dialect.", query="the SQL text"),
]


@stepscope.step(kind="agent")
def ask_the_books(question: str, rounds: int = 6) -> str:
    """Answer a question from the shop's books; errors of the database go back to the model, to learn from."""
    system = (
        "You answer questions from the books of a bicycle shop, kept in SQLite. Use the tools; when a query fails, "
        "read the error and mend the query. Money is in cents; spring is March to May. Answer shortly, with figures."
    )
    messages: list[Message] = [llm.system(system), llm.user(question)]
    with closing(make_database()) as books:
        tools: dict[str, Callable[..., Json]] = {
            "describe_tables": lambda: SCHEMA.strip(),
            "run_sql": partial(run_sql, books),
        }
        for _ in range(rounds):
            reply = llm.chat("think", messages, tools=TOOL_SCHEMAS, temperature=0)
            if not reply.calls:
                return reply.text
            messages.append(reply.message)
            messages.extend(llm.tool_result(call.id, use_tool(tools, call)) for call in reply.calls)
    raise RuntimeError(f"no answer after {rounds} rounds of SQL")


def use_tool(tools: dict[str, Callable[..., Json]], call: llm.ToolCall) -> str:
    """Call the tool the model asked for; what goes wrong is told to the model, so that it can do better."""
    try:
        with stepscope.step(call.name, kind="tool") as step:
            step.tool_call_id = call.id
            step.input = call.arguments
            step.output = result = tools[call.name](**call.arguments)
            return json.dumps(result)
    except (sqlite3.Error, KeyError, TypeError) as mistake:
        return f"{type(mistake).__name__}: {mistake}"


def serve(question: str, colleague: str = "bea") -> str:
    """Answer a colleague's question."""
    with stepscope.context(user=colleague, tags=["books"]):
        return ask_the_books(question)


def main() -> int:
    """Ask the books one question from the command line."""
    options = kit.options(__doc__, question="Which three products earned most in spring?")
    stepscope.init(project=kit.PROJECT)
    return kit.show(options, lambda: serve(options.question))


if __name__ == "__main__":
    raise SystemExit(main())
