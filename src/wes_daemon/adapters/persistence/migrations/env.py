"""The environment that Alembic executes: it uses the connection and the transaction of `Schema.upgrade`."""

from alembic import context

from wes_daemon.adapters.persistence.location import VERSION_TABLE, enter_schema
from wes_daemon.adapters.persistence.schema import upgrade_settings

given = context.config.attributes
schema = given["daemon_schema"]
options = {
    "version_table": VERSION_TABLE,
    "version_table_schema": schema,
    # Migrations read it from their context.
    "creates_service_tables": given["creates_service_tables"],
}

if context.is_offline_mode():
    context.configure(dialect_name=given["dialect"], literal_binds=True, **options)
    with context.begin_transaction():
        for statement in (*upgrade_settings(given["dialect"]), *(enter_schema(schema) if schema else ())):
            context.execute(statement)
        context.run_migrations()
else:
    context.configure(connection=given["connection"], **options)
    with context.begin_transaction():
        context.run_migrations()
