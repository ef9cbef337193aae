"""Alembic's entry: the connection is handed in by `tracer.store.migrate`."""

from alembic import context

from tracer.store.models import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
