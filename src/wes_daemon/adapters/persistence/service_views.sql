-- Views through which wes-daemon serves the WES service of February 2026, on PostgreSQL 12 or newer.
--
-- The tables of the service stand in the schema public, the tables of the daemon in the schema daemon. Run these
-- statements as the daemon's role, after `wes-daemon db upgrade` with the search path daemon, while no daemon works.
-- They may be run again. https://www.postgresql.org/docs/current/rules-views.html explains views and privileges.

BEGIN;

-- The upgrade has made empty tables where the views belong.
DO $tables$
DECLARE
    name text;
    kind "char";
    has_rows boolean;
BEGIN
    IF to_regclass('daemon.run_details') IS NULL THEN
        RAISE EXCEPTION 'schema daemon has no tables of wes-daemon: run `wes-daemon db upgrade` with the search path daemon';
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.workflow_runs') AND attname = 'stdout_url'
    ) THEN
        RAISE EXCEPTION 'public.workflow_runs is not the table of the WES service of February 2026';
    END IF;
    FOREACH name IN ARRAY ARRAY['task_logs', 'workflow_runs'] LOOP
        SELECT relkind INTO kind FROM pg_class WHERE oid = to_regclass('daemon.' || name);
        CONTINUE WHEN kind IS NULL OR kind = 'v';
        EXECUTE format('SELECT EXISTS (SELECT FROM daemon.%I)', name) INTO has_rows;
        IF has_rows THEN
            RAISE EXCEPTION 'table daemon.% has rows: move them to public.%, or delete them', name, name;
        END IF;
        EXECUTE format('DROP TABLE daemon.%I', name);
    END LOOP;
END
$tables$;

CREATE OR REPLACE FUNCTION daemon.service_time() RETURNS timestamp LANGUAGE sql VOLATILE
    AS $$ SELECT clock_timestamp() AT TIME ZONE 'UTC' $$;

-- The service's former daemon stored the id of a HealthOmics run in the outputs, and no tags. The active runs that it
-- has left are followed by these tags. Tags that PostgreSQL cannot parse stay as they are.
CREATE OR REPLACE FUNCTION daemon.tags_with_provider_run(tags json, outputs json) RETURNS json
    LANGUAGE plpgsql IMMUTABLE AS $function$
BEGIN
    IF json_typeof(tags) = 'object' AND tags ->> 'provider_id' IS NULL AND outputs ->> 'omics_run_id' IS NOT NULL THEN
        RETURN tags::jsonb
            || jsonb_build_object('provider_type', 'healthomics', 'provider_id', outputs ->> 'omics_run_id');
    END IF;
    RETURN tags;
EXCEPTION WHEN data_exception THEN
    RETURN tags;
END
$function$;

-- Appends the lines that are missing. Logs that PostgreSQL cannot parse stay as they are.
CREATE OR REPLACE FUNCTION daemon.logs_with_lines(logs json, lines json) RETURNS json
    LANGUAGE plpgsql IMMUTABLE AS $function$
DECLARE
    known jsonb;
BEGIN
    IF lines IS NULL OR json_typeof(lines) <> 'array' THEN
        RETURN logs;
    END IF;
    known := CASE WHEN json_typeof(logs) = 'array' THEN logs::jsonb ELSE '[]' END;
    RETURN known || COALESCE(
        (SELECT jsonb_agg(line) FROM jsonb_array_elements(lines::jsonb) AS line
         WHERE NOT known @> jsonb_build_array(line)),
        '[]'
    );
EXCEPTION WHEN data_exception THEN
    RETURN logs;
END
$function$;

-- Runs.

CREATE OR REPLACE VIEW daemon.workflow_runs AS
SELECT
    id AS run_id,
    state,
    workflow_params,
    workflow_type,
    workflow_type_version,
    workflow_engine,
    workflow_engine_version,
    workflow_url,
    CASE
        WHEN outputs IS NOT NULL AND state IN ('INITIALIZING', 'RUNNING', 'PAUSED', 'CANCELING')
        THEN daemon.tags_with_provider_run(tags, outputs)
        ELSE tags
    END AS tags,
    start_time,
    end_time,
    created_at AS stored_order
FROM public.workflow_runs;

CREATE OR REPLACE FUNCTION daemon.insert_service_run() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
    INSERT INTO public.workflow_runs (
        id, state, workflow_params, workflow_type, workflow_type_version, workflow_engine, workflow_engine_version,
        workflow_url, tags, start_time, end_time, system_logs, created_at, updated_at
    ) VALUES (
        NEW.run_id, NEW.state, NEW.workflow_params, NEW.workflow_type, NEW.workflow_type_version, NEW.workflow_engine,
        NEW.workflow_engine_version, NEW.workflow_url, COALESCE(NEW.tags, '{}'), NEW.start_time, NEW.end_time, '[]',
        daemon.service_time(), daemon.service_time()
    );
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION daemon.update_service_run() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
    UPDATE public.workflow_runs AS run SET
        state = NEW.state,
        workflow_params = NEW.workflow_params,
        workflow_type = NEW.workflow_type,
        workflow_type_version = NEW.workflow_type_version,
        workflow_engine = NEW.workflow_engine,
        workflow_engine_version = NEW.workflow_engine_version,
        workflow_url = NEW.workflow_url,
        -- The view may compute the old tags.
        tags = CASE
            WHEN NEW.tags::text IS DISTINCT FROM OLD.tags::text THEN COALESCE(NEW.tags, '{}') ELSE run.tags
        END,
        start_time = NEW.start_time,
        end_time = NEW.end_time,
        updated_at = daemon.service_time()
    WHERE run.id = OLD.run_id;
    RETURN CASE WHEN FOUND THEN NEW END;
END
$function$;

DROP TRIGGER IF EXISTS insert_service_run ON daemon.workflow_runs;
CREATE TRIGGER insert_service_run INSTEAD OF INSERT ON daemon.workflow_runs
    FOR EACH ROW EXECUTE FUNCTION daemon.insert_service_run();
DROP TRIGGER IF EXISTS update_service_run ON daemon.workflow_runs;
CREATE TRIGGER update_service_run INSTEAD OF UPDATE ON daemon.workflow_runs
    FOR EACH ROW EXECUTE FUNCTION daemon.update_service_run();

-- Task logs. The service lists them by `created_at`.

CREATE OR REPLACE VIEW daemon.task_logs AS
SELECT
    id, run_id, name, cmd, start_time, end_time, stdout_url AS stdout, stderr_url AS stderr, exit_code, system_logs
FROM public.task_logs;

CREATE OR REPLACE FUNCTION daemon.insert_service_task() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
    INSERT INTO public.task_logs (
        id, run_id, name, cmd, start_time, end_time, stdout_url, stderr_url, exit_code, system_logs, created_at,
        updated_at
    ) VALUES (
        NEW.id, NEW.run_id, NEW.name, NEW.cmd, NEW.start_time, NEW.end_time, NEW.stdout, NEW.stderr, NEW.exit_code,
        COALESCE(NEW.system_logs, '[]'), daemon.service_time(), daemon.service_time()
    );
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION daemon.update_service_task() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
    UPDATE public.task_logs AS task SET
        run_id = NEW.run_id,
        name = NEW.name,
        cmd = NEW.cmd,
        start_time = NEW.start_time,
        end_time = NEW.end_time,
        stdout_url = NEW.stdout,
        stderr_url = NEW.stderr,
        exit_code = NEW.exit_code,
        system_logs = COALESCE(NEW.system_logs, '[]'),
        updated_at = daemon.service_time()
    WHERE task.id = OLD.id;
    RETURN CASE WHEN FOUND THEN NEW END;
END
$function$;

DROP TRIGGER IF EXISTS insert_service_task ON daemon.task_logs;
CREATE TRIGGER insert_service_task INSTEAD OF INSERT ON daemon.task_logs
    FOR EACH ROW EXECUTE FUNCTION daemon.insert_service_task();
DROP TRIGGER IF EXISTS update_service_task ON daemon.task_logs;
CREATE TRIGGER update_service_task INSTEAD OF UPDATE ON daemon.task_logs
    FOR EACH ROW EXECUTE FUNCTION daemon.update_service_task();

-- Engine parameters: from the service to the daemon when a run is enrolled. The parameter `name` is the service's name
-- for the run, which no provider accepts. Parameters that PostgreSQL cannot parse stay as they are.

CREATE OR REPLACE FUNCTION daemon.parameters_of_provider(parameters json) RETURNS json
    LANGUAGE plpgsql IMMUTABLE AS $function$
BEGIN
    RETURN CASE json_typeof(parameters)
        WHEN 'object' THEN NULLIF(parameters::jsonb - 'name', '{}')::json
        WHEN 'null' THEN NULL
        ELSE parameters
    END;
EXCEPTION WHEN data_exception THEN
    RETURN parameters;
END
$function$;

CREATE OR REPLACE FUNCTION daemon.copy_engine_parameters() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
    INSERT INTO daemon.run_details (run_id, workflow_engine_parameters)
    SELECT run.id, given.parameters
    FROM enrolled
        JOIN public.workflow_runs AS run ON run.id = enrolled.run_id
        CROSS JOIN LATERAL daemon.parameters_of_provider(run.workflow_engine_parameters) AS given (parameters)
    WHERE given.parameters IS NOT NULL
    ON CONFLICT (run_id) DO NOTHING;
    RETURN NULL;
END
$function$;

DROP TRIGGER IF EXISTS copy_engine_parameters ON daemon.submissions;
CREATE TRIGGER copy_engine_parameters AFTER INSERT ON daemon.submissions REFERENCING NEW TABLE AS enrolled
    FOR EACH STATEMENT EXECUTE FUNCTION daemon.copy_engine_parameters();

-- Outputs and logs, and the engine parameters of `wes-daemon submit`: from the daemon to the service.

CREATE OR REPLACE FUNCTION daemon.copy_run_details() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
    UPDATE public.workflow_runs AS run SET
        workflow_engine_parameters = COALESCE(run.workflow_engine_parameters, NEW.workflow_engine_parameters),
        outputs = COALESCE(NEW.outputs, run.outputs),
        stdout_url = COALESCE(NEW.stdout, run.stdout_url),
        stderr_url = COALESCE(NEW.stderr, run.stderr_url),
        exit_code = COALESCE(NEW.exit_code, run.exit_code),
        system_logs = daemon.logs_with_lines(run.system_logs, NEW.system_logs),
        updated_at = daemon.service_time()
    WHERE run.id = NEW.run_id;
    RETURN NULL;
END
$function$;

DROP TRIGGER IF EXISTS copy_run_details ON daemon.run_details;
CREATE TRIGGER copy_run_details
    AFTER INSERT OR UPDATE OF workflow_engine_parameters, outputs, stdout, stderr, exit_code, system_logs
    ON daemon.run_details
    -- Not for a row that `copy_engine_parameters` has inserted.
    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION daemon.copy_run_details();

-- The reason of an unsuccessful end, which the daemon stores in its timeline: to the service's system logs.

CREATE OR REPLACE FUNCTION daemon.copy_reason() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
    UPDATE public.workflow_runs AS run SET
        system_logs = daemon.logs_with_lines(run.system_logs, json_build_array(NEW.why)),
        updated_at = daemon.service_time()
    WHERE run.id = NEW.run_id;
    RETURN NULL;
END
$function$;

DROP TRIGGER IF EXISTS copy_reason ON daemon.run_events;
CREATE TRIGGER copy_reason AFTER INSERT ON daemon.run_events
    FOR EACH ROW WHEN (
        NEW.why <> '' AND NEW.from_state IS DISTINCT FROM NEW.to_state
        AND NEW.to_state IN ('EXECUTOR_ERROR', 'SYSTEM_ERROR', 'CANCELED', 'PREEMPTED')
    )
    EXECUTE FUNCTION daemon.copy_reason();

-- Notifications, so that the daemon notices queued, cancelled and deleted runs at once. A trigger on a table of the
-- service can be created with the privilege TRIGGER, but replaced by the owner of the table only.

CREATE OR REPLACE FUNCTION daemon.announce_service_runs() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
    NOTIFY wes_daemon_runs;
    RETURN NULL;
END
$function$;

DO $triggers$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_trigger WHERE tgrelid = 'public.workflow_runs'::regclass AND tgname = 'wes_daemon_inserted'
    ) THEN
        CREATE TRIGGER wes_daemon_inserted AFTER INSERT ON public.workflow_runs
            FOR EACH STATEMENT EXECUTE FUNCTION daemon.announce_service_runs();
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_trigger WHERE tgrelid = 'public.workflow_runs'::regclass AND tgname = 'wes_daemon_changed'
    ) THEN
        CREATE TRIGGER wes_daemon_changed AFTER UPDATE OF state ON public.workflow_runs
            FOR EACH ROW WHEN (NEW.state IN ('QUEUED', 'CANCELING', 'CANCELED') AND OLD.state <> NEW.state)
            EXECUTE FUNCTION daemon.announce_service_runs();
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_trigger WHERE tgrelid = 'public.workflow_runs'::regclass AND tgname = 'wes_daemon_deleted'
    ) THEN
        CREATE TRIGGER wes_daemon_deleted AFTER DELETE ON public.workflow_runs
            FOR EACH STATEMENT EXECUTE FUNCTION daemon.announce_service_runs();
    END IF;
END
$triggers$;

COMMIT;
