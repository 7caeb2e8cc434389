"""The environment that Alembic executes: it uses the connection and the transaction of `Schema.upgrade`."""

from alembic import context

from wes_daemon.adapters.persistence.schema import VERSION_TABLE, upgrade_settings

given = context.config.attributes

if context.is_offline_mode():
    context.configure(dialect_name=given["dialect"], literal_binds=True, version_table=VERSION_TABLE)
    with context.begin_transaction():
        for statement in upgrade_settings(given["dialect"]):
            context.execute(statement)
        context.run_migrations()
else:
    context.configure(connection=given["connection"], version_table=VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()
