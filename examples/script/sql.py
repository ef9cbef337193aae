"""What the stand-in model says to the SQL agent: queries with ordinary mistakes, and answers made of the real rows."""

import json

from examples.script.base import Asked, Reply, Scene, call, first

EARNINGS = """
SELECT p.name, SUM(l.quantity * l.unit_cents) / 100 AS euros
FROM purchase_line l
JOIN purchase b ON b.id = l.purchase_id
JOIN product p ON p.id = l.product_id
WHERE b.bought_on BETWEEN '2026-03-01' AND '2026-05-31'
GROUP BY p.name ORDER BY euros DESC LIMIT 3
""".strip()
GUESSED_EARNINGS = (
    "SELECT p.name, SUM(o.price) AS revenue FROM orders o JOIN product p ON p.id = o.product_id "
    "WHERE o.date >= '2026-03-01' GROUP BY p.name ORDER BY revenue DESC LIMIT 3"
)
LATE = """
SELECT mechanic, COUNT(*) AS repairs, SUM(finished_on > promised_on) AS late,
       ROUND(100.0 * SUM(finished_on > promised_on) / COUNT(*)) AS percent
FROM repair GROUP BY mechanic ORDER BY percent DESC
""".strip()
SILENT = """
SELECT c.name, c.city, MAX(b.bought_on) AS last_visit
FROM customer c LEFT JOIN purchase b ON b.customer_id = c.id
GROUP BY c.id ORDER BY last_visit LIMIT 3
""".strip()
EVERYTHING = """
SELECT b.id, b.bought_on, b.paid_by, c.name, c.city, p.name AS product, p.category, l.quantity, l.unit_cents
FROM purchase b JOIN customer c ON c.id = b.customer_id
JOIN purchase_line l ON l.purchase_id = b.id JOIN product p ON p.id = l.product_id ORDER BY b.id
""".strip()


def rows(asked: Asked) -> list[list[str | int | float]]:
    """Give the rows of the last query, or none when it failed."""
    try:
        found: list[list[str | int | float]] = json.loads(asked.results[-1])["rows"]
    except (ValueError, KeyError, TypeError):
        return []
    return found


def earnings(asked: Asked) -> str:
    """Tell the three best products."""
    lines = [f"{place}. **{name}**: {euros:,} €" for place, (name, euros, *_) in enumerate(rows(asked), start=1)]
    return "From March to May these three earned most:\n\n" + "\n".join(lines)


def late(asked: Asked) -> str:
    """Tell whose repairs were late."""
    found = rows(asked)
    total, overdue = (sum(int(row[n]) for row in found) for n in (1, 2))
    lines = [f"- {name}: {missed} of {count} ({percent:.0f} %)" for name, count, missed, percent in found]
    return f"{overdue} of {total} repairs came back later than promised:\n\n" + "\n".join(lines)


def silent(asked: Asked) -> str:
    """Tell who has not been seen for longest."""
    lines = [f"- {name} from {city}, last seen on {day}" for name, city, day, *_ in rows(asked)]
    return "These three have stayed away longest:\n\n" + "\n".join(lines) + "\n\nA postcard might be in order."


SCENES = (
    Scene(
        "earned|revenue",
        [call("run_sql", query=GUESSED_EARNINGS), call("describe_tables"), call("run_sql", query=EARNINGS), earnings],
    ),
    Scene("late", [call("describe_tables"), call("run_sql", query=LATE), late]),
    Scene(
        "stayed away|not been|haven't",
        [
            call("run_sql", query="SELECT name, last_visit FROM customer ORDER BY last_visit LIMIT 3"),
            call("describe_tables"),
            call("run_sql", query=SILENT),
            silent,
        ],
    ),
    Scene(
        "every (order|purchase)", [call("describe_tables"), call("run_sql", query=EVERYTHING), "That is all of them."]
    ),
    Scene(
        "delete|remove",
        [
            call("run_sql", query="DELETE FROM purchase WHERE paid_by = 'test'"),
            "I can read the books, but not change them: the database refused with “attempt to write a readonly "
            "database”. Someone with access to the till has to delete those purchases.",
        ],
    ),
)


def play(asked: Asked) -> Reply | None:
    """Reply as the shop's bookkeeper, when the request is of its chain."""
    return first(SCENES, asked) if "books of a bicycle shop" in asked.system else None
