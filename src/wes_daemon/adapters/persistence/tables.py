"""The tables as the code reads and writes them; `migrations` creates them.

`workflow_runs` and `task_logs` may belong to a WES service and are used as they are. Text for them is
truncated to the lengths that are stated here.
"""

from sqlalchemy import BigInteger, Column, Float, Integer, LargeBinary, MetaData, Table

from wes_daemon.adapters.persistence.keys import Key, RunKey
from wes_daemon.adapters.persistence.types import Json, PlainText, ServiceTime, UtcTime

service_metadata = MetaData()
"""Tables that a WES service may own."""

daemon_metadata = MetaData()
"""Tables that only the daemon writes."""

workflow_runs = Table(
    "workflow_runs",
    service_metadata,
    Column("run_id", RunKey, primary_key=True),
    Column("state", PlainText(20)),
    Column("workflow_params", Json(holds_object=True)),
    Column("workflow_type", PlainText(50)),
    Column("workflow_type_version", PlainText(20)),
    Column("workflow_engine", PlainText(50)),
    Column("workflow_engine_version", PlainText(20)),
    Column("workflow_url", PlainText(500)),
    Column("tags", Json(holds_object=True)),
    Column("start_time", ServiceTime),
    Column("end_time", ServiceTime),
)

task_logs = Table(
    "task_logs",
    service_metadata,
    Column("id", Key, primary_key=True),
    Column("run_id", RunKey),
    Column("name", PlainText(200)),
    Column("cmd", Json),
    Column("start_time", ServiceTime),
    Column("end_time", ServiceTime),
    Column("stdout", PlainText(500)),
    Column("stderr", PlainText(500)),
    Column("exit_code", Integer),
    Column("system_logs", Json),
)

submissions = Table(
    "submissions",
    daemon_metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=True),
    Column("run_id", RunKey),
    # The provider that the run will be submitted to; if `provider_run_id` is set, the one that accepted it.
    Column("provider", PlainText),
    Column("state", PlainText),
    # The state after the claim is returned. A submission that is in doubt or prepared keeps its state.
    Column("returns_to", PlainText),
    Column("owner", Key),
    Column("claim_seq", Integer),
    Column("not_before", UtcTime),
    Column("attempts", Integer),
    Column("prepared_id", PlainText),
    Column("provider_run_id", PlainText),
    Column("last_reason", PlainText),
    Column("enrolled_at", UtcTime),
    # The group for fair share; empty if fair share is not used.
    Column("share", PlainText),
    # The request as it was first submitted, kept as long as it may be submitted again.
    Column("request", Json),
    Column("intent_at", UtcTime),
    Column("failing_since", UtcTime),
)

polls = Table(
    "polls",
    daemon_metadata,
    Column("run_id", RunKey, primary_key=True),
    Column("provider", PlainText),
    Column("provider_run_id", PlainText),
    Column("next_check_at", UtcTime),
    Column("held_until", UtcTime),
    Column("poll_seq", Integer),
    Column("known_state", PlainText),
    Column("known_status", PlainText),
    Column("missing_since", UtcTime),
    Column("details_failures", Integer),
    Column("cancel_again_at", UtcTime),
    Column("taken_at", UtcTime),
    # When a provider accepted the run; NULL for runs that were accepted before this column existed.
    Column("followed_since", UtcTime),
    # When the run's row was found missing together with so many others that no provider run was cancelled.
    Column("row_missing_since", UtcTime),
)

provider_budgets = Table(
    "provider_budgets",
    daemon_metadata,
    Column("name", PlainText, primary_key=True),
    Column("tokens", Float),
    # Additional calls, for routine calls (status, inventory) only.
    Column("kept", Float),
    Column("counted_at", UtcTime),
    # The calls per second at which the service last throttled.
    Column("peak", Float),
    Column("throttled_at", UtcTime),
    Column("held_until", UtcTime),
)

unserved_providers = Table(
    "unserved_providers",
    daemon_metadata,
    Column("name", PlainText, primary_key=True),
    # Since when no live daemon has served it, and when that was last confirmed.
    Column("since", UtcTime),
    Column("seen_at", UtcTime),
    Column("reason", PlainText),
)

provider_looks = Table(
    "provider_looks",
    daemon_metadata,
    Column("name", PlainText, primary_key=True),
    # The watermark: all runs that ended before it are known.
    Column("seen_until", UtcTime),
    # When a daemon last began to read the list.
    Column("begun_at", UtcTime),
)

daemons = Table(
    "daemons",
    daemon_metadata,
    Column("id", Key, primary_key=True),
    Column("host", PlainText),
    Column("pid", Integer),
    Column("version", PlainText),
    Column("started_at", UtcTime),
    Column("lease_until", UtcTime),
    # What the daemon publishes, as JSON; NULL for daemons that are older than this column.
    Column("providers", PlainText),
)

run_details = Table(
    "run_details",
    daemon_metadata,
    Column("run_id", RunKey, primary_key=True),
    Column("workflow_engine_parameters", Json(holds_object=True)),
    Column("outputs", Json),
    Column("provider_status", PlainText),
    Column("provider_message", PlainText),
    Column("stdout", PlainText),
    Column("stderr", PlainText),
    Column("exit_code", Integer),
    Column("system_logs", Json),
)

late_updates = Table(
    "late_updates",
    daemon_metadata,
    # The order in which the updates of a run happened.
    Column("seq", BigInteger, primary_key=True, autoincrement=True),
    Column("run_id", RunKey),
    # The update as JSON in ASCII, which a database of any encoding can hold.
    Column("content", PlainText),
    Column("attempts", Integer),
    Column("not_before", UtcTime),
    Column("reason", PlainText),
    Column("recorded_at", UtcTime),
)

run_attachments = Table(
    "run_attachments",
    daemon_metadata,
    Column("run_id", RunKey, primary_key=True),
    Column("name", PlainText, primary_key=True),
    Column("content", LargeBinary),
)

run_events = Table(
    "run_events",
    daemon_metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("run_id", RunKey),
    Column("at", UtcTime),
    Column("from_state", PlainText),
    Column("to_state", PlainText),
    Column("by", PlainText),
    Column("why", PlainText),
    Column("provider_status", PlainText),
)
