-- Each time a schedule fired. One due time is one row, whoever fires it and however often.

create type run_kind as enum (
    'slot',   -- it was due
    'manual'  -- a person asked for it
);
create type run_status as enum (
    'pending',    -- fired, nothing has begun
    'running',    -- its executions are under way
    'succeeded',  -- every execution has its results stored
    'failed',     -- an execution did not succeed
    'skipped',    -- the rules said not to run
    'missed',     -- nothing could fire at the time, and catch_up said to let it pass
    'cancelled'   -- stopped by a person
);

comment on type run_kind is 'Why a run exists.';
comment on type run_status is 'Where a run stands.';

create table schedule_runs (
    id            uuid primary key default gen_random_uuid(),
    schedule_id   uuid not null references workflow_schedules (id) on delete restrict,
    kind          run_kind not null,
    scheduled_for timestamptz,
    status        run_status not null default 'pending',
    parameters    jsonb not null default '{}',
    error_summary text,
    started_at    timestamptz,
    finished_at   timestamptz,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),

    constraint schedule_runs_scheduled_for_key unique (schedule_id, scheduled_for),
    constraint slots_have_a_time check ((kind = 'slot') = (scheduled_for is not null)),
    constraint finished_exactly_when_final
        check ((status in ('pending', 'running')) = (finished_at is null))
);

comment on table schedule_runs is 'Runs of schedules.';
comment on column schedule_runs.id is 'Names the run here.';
comment on column schedule_runs.schedule_id is 'The schedule that fired.';
comment on column schedule_runs.kind is 'Why it exists.';
comment on column schedule_runs.scheduled_for is 'The due time it answers; null for a run that a person asked for.';
comment on column schedule_runs.status is 'Where it stands.';
comment on column schedule_runs.parameters is 'The parameters as they were when it fired, dates filled in.';
comment on column schedule_runs.error_summary is 'Why it did not succeed, in one sentence.';
comment on column schedule_runs.started_at is 'When its first execution began.';
comment on column schedule_runs.finished_at is 'When its last execution ended.';
comment on column schedule_runs.created_at is 'When the row was made.';
comment on column schedule_runs.updated_at is 'When the row last changed.';

create trigger set_updated_at before update on schedule_runs for each row execute function set_updated_at();
