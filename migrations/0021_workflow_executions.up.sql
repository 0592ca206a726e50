-- Executions: each row is one run at AMC, submitted at most once.

-- In the order of an execution's life: a later word is never followed by an earlier one,
-- but for a submit that AMC has refused or is proven not to have, which is queued again.
create type execution_status as enum (
    'queued',          -- not yet sent
    'submitting',      -- the intent is written down; the request may be on the wire
    'submit_unknown',  -- nobody knows whether AMC took it; to be reconciled, never sent again before
    'pending',         -- AMC has it, and it waits there
    'running',         -- AMC runs it
    'fetching',        -- AMC has finished; the results are not stored yet
    'succeeded',       -- the results are stored
    'failed',          -- AMC or we could not do it
    'rejected',        -- AMC refused it after it had taken it
    'cancelled',       -- stopped by a person, here or at AMC
    'timed_out'        -- past its deadline
);
create type execution_origin as enum (
    'manual',      -- a person asked for it
    'schedule',    -- a schedule's run
    'collection',  -- a week of a collection
    'batch',       -- one instance of a batch
    'api'          -- a program asked for it
);
create type submit_mode as enum (
    'inline',  -- the query travels with the request
    'saved'    -- the request names the copy that AMC keeps
);

comment on type execution_status is 'Where an execution stands.';
comment on type execution_origin is 'What asked for an execution.';
comment on type submit_mode is 'How the query reaches AMC.';

create table workflow_executions (
    id                  uuid primary key default gen_random_uuid(),
    workflow_version_id uuid not null references workflow_versions (id) on delete restrict,
    instance_id         uuid not null references amc_instances (id) on delete restrict,
    amc_instance_id     text not null,
    entity_id           text not null,
    marketplace_id      text not null,
    region              amc_region not null,
    user_id             uuid not null references users (id) on delete restrict,
    origin              execution_origin not null,
    week_id             uuid references report_data_weeks (id) on delete restrict,
    schedule_run_id     uuid references schedule_runs (id) on delete restrict,
    attempt             int not null default 1,
    submit_mode         submit_mode not null default 'inline',
    parameters          jsonb not null default '{}',
    window_start        timestamp not null,
    window_end          timestamp not null,
    window_tz           text not null,
    status              execution_status not null default 'queued',
    client_ref          text unique,
    request_body        jsonb,
    request_fingerprint bytea,
    submit_started_at   timestamptz,
    submitted_at        timestamptz,
    amc_execution_id    text,
    amc_status          text,
    amc_status_reason   text,
    amc_created_at      timestamptz,
    last_polled_at      timestamptz,
    deadline_at         timestamptz,
    finished_at         timestamptz,
    error_class         text,
    error_code          text,
    error_message       text,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),

    constraint workflow_executions_amc_execution_id_key unique (amc_instance_id, amc_execution_id),
    constraint workflow_executions_attempt_key unique (week_id, attempt),
    constraint week_exactly_for_a_collection check ((origin = 'collection') = (week_id is not null)),
    constraint run_exactly_for_a_schedule check ((origin = 'schedule') = (schedule_run_id is not null)),
    constraint attempt_is_positive check (attempt > 0),
    constraint parameters_is_an_object check (jsonb_typeof(parameters) = 'object'),
    constraint window_is_not_empty check (window_end > window_start),
    constraint no_submit_without_an_intent check (
        submit_started_at is null
        or (client_ref is not null and request_body is not null and request_fingerprint is not null)
    ),
    constraint on_the_wire_only_after_an_intent
        check (status not in ('submitting', 'submit_unknown') or submit_started_at is not null),
    constraint accepted_exactly_with_amcs_id check ((amc_execution_id is null) = (submitted_at is null)),
    constraint at_amc_only_with_amcs_id
        check (status not in ('pending', 'running', 'fetching', 'succeeded') or amc_execution_id is not null),
    constraint finished_exactly_when_final check (
        (status in ('succeeded', 'failed', 'rejected', 'cancelled', 'timed_out')) = (finished_at is not null)
    )
);

comment on table workflow_executions is 'Executions: each is one run of a workflow at AMC.';
comment on column workflow_executions.id is 'Names the execution here.';
comment on column workflow_executions.workflow_version_id is 'What it runs.';
comment on column workflow_executions.instance_id is 'Where it runs.';
comment on column workflow_executions.amc_instance_id is 'AMC''s id of the instance when it was queued.';
comment on column workflow_executions.entity_id is 'Amazon''s id of the account when it was queued.';
comment on column workflow_executions.marketplace_id is 'Amazon''s id of the marketplace when it was queued.';
comment on column workflow_executions.region is 'The account''s region when it was queued.';
comment on column workflow_executions.user_id is 'In whose name it runs.';
comment on column workflow_executions.origin is 'What asked for it.';
comment on column workflow_executions.week_id is 'The week it collects; null when it belongs to no collection.';
comment on column workflow_executions.schedule_run_id is 'The run it belongs to; null when no schedule asked for it.';
comment on column workflow_executions.attempt is 'The how-manieth execution for the same purpose it is.';
comment on column workflow_executions.submit_mode is 'How the query reaches AMC.';
comment on column workflow_executions.parameters is 'The values of the workflow''s parameters.';
comment on column workflow_executions.window_start is 'Where its window begins, on the clock of window_tz.';
comment on column workflow_executions.window_end is 'Where its window ends, exclusive, on the clock of window_tz.';
comment on column workflow_executions.window_tz is 'The IANA zone of its window, sent as timeWindowTimeZone.';
comment on column workflow_executions.status is 'Where it stands.';
comment on column workflow_executions.client_ref is 'What we called it in the last request, to find it again at AMC.';
comment on column workflow_executions.request_body is 'The body of the last request, as sent.';
comment on column workflow_executions.request_fingerprint is 'The sha256 over what makes the request this one and no other.';
comment on column workflow_executions.submit_started_at is 'When the last intent was written down; AMC cannot have made it before.';
comment on column workflow_executions.submitted_at is 'When we learned that AMC had taken it.';
comment on column workflow_executions.amc_execution_id is 'AMC''s id of it; null until AMC is known to have taken it.';
comment on column workflow_executions.amc_status is 'AMC''s own word for where it stands, as it came.';
comment on column workflow_executions.amc_status_reason is 'What AMC said about it.';
comment on column workflow_executions.amc_created_at is 'When AMC took it, by AMC''s clock.';
comment on column workflow_executions.last_polled_at is 'When AMC was last asked about it.';
comment on column workflow_executions.deadline_at is 'After this it is given up.';
comment on column workflow_executions.finished_at is 'When it ended.';
comment on column workflow_executions.error_class is 'What kind of trouble ended it.';
comment on column workflow_executions.error_code is 'The code that came with the trouble.';
comment on column workflow_executions.error_message is 'What the trouble was.';
comment on column workflow_executions.created_at is 'When it was queued.';
comment on column workflow_executions.updated_at is 'When the row last changed.';

-- Serves the poll of a whole instance and the count of what is open there.
create index workflow_executions_open on workflow_executions (amc_instance_id, status)
    where status in ('submitting', 'submit_unknown', 'pending', 'running', 'fetching');
-- A week never has two executions under way.
create unique index workflow_executions_one_per_week on workflow_executions (week_id)
    where week_id is not null
      and status in ('queued', 'submitting', 'submit_unknown', 'pending', 'running', 'fetching');
create index workflow_executions_of_run on workflow_executions (schedule_run_id) where schedule_run_id is not null;
create index workflow_executions_by_age on workflow_executions (instance_id, created_at desc);

create trigger set_updated_at before update on workflow_executions for each row execute function set_updated_at();
