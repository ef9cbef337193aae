"""Counts of traces that are alike, from which facets are told; made from the traces that are there."""

import json
from collections import Counter
from hashlib import blake2b

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

HOUR = 3_600 * 10**9
LENGTHS = (HOUR, 24 * HOUR)
AT_ONCE = 1_000

GROUPS = """
    SELECT t.project_id, t.start_time - ((t.start_time % 3600000000000) + 3600000000000) % 3600000000000 AS hour,
        t.status, coalesce(nullif(a.name, ''), t.name) AS name, t.models, t.services, t.tags, t.environment,
        t.release, a.tags AS given, count(*) AS trace_count
    FROM trace t LEFT JOIN annotation a ON a.trace_id = t.trace_id AND a.project_id = t.project_id
    WHERE t.running_count = 0
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
"""


def upgrade() -> None:
    rowid = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    made = op.create_table(
        "trace_alike",
        sa.Column("project_id", rowid, nullable=False),
        sa.Column("period", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("alike", sa.LargeBinary(length=16), nullable=False),
        sa.Column("status", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("models", sa.Text(), nullable=False),
        sa.Column("services", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=True),
        sa.Column("release", sa.Text(), nullable=True),
        sa.Column("trace_count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "period", "start", "alike", "status", "shard"),
    )
    connection = op.get_bind()
    cells = Counter()
    found = connection.exec_driver_sql(GROUPS.replace("%", "%%") if connection.dialect.name != "sqlite" else GROUPS)
    for row in found:
        tags = row.tags
        if row.given:
            tags = json.dumps(list(dict.fromkeys([*json.loads(tags), *json.loads(row.given)])))
        same = (row.name, row.models, row.services, tags, row.environment, row.release)
        for period, length in enumerate(LENGTHS):
            cells[row.project_id, period, row.hour - row.hour % length, same, row.status] += row.trace_count
    rows = []
    for (project_id, period, start, same, status), count in cells.items():
        name, models, services, tags, environment, release = same
        rows.append(
            {
                "project_id": project_id,
                "period": period,
                "start": start,
                "alike": blake2b(json.dumps(same).encode(), digest_size=16).digest(),
                "status": status,
                "shard": 0,
                "name": name,
                "models": models,
                "services": services,
                "tags": tags,
                "environment": environment,
                "release": release,
                "trace_count": count,
            }
        )
    for at in range(0, len(rows), AT_ONCE):
        op.bulk_insert(made, rows[at : at + AT_ONCE])


def downgrade() -> None:
    op.drop_table("trace_alike")
