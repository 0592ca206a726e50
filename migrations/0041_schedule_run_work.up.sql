-- What a run does, as it was decided when it fired, and that it never has two executions under way.

set local lock_timeout = '10s';

alter table schedule_runs
    add column workflow_version_id uuid references workflow_versions (id) on delete restrict,
    add column window_start date,
    add column window_end date,
    add column window_tz text,
    add column max_attempts int not null default 5,
    add constraint window_whole_or_not_at_all check (
        num_nulls(workflow_version_id, window_start, window_end, window_tz) in (0, 4)
    ),
    add constraint window_is_not_empty check (window_end > window_start),
    add constraint max_attempts_is_positive check (max_attempts > 0);

comment on column schedule_runs.workflow_version_id is 'What it runs; null for one that never was to run.';
comment on column schedule_runs.window_start is 'The first day of its window; null for one that never was to run.';
comment on column schedule_runs.window_end is 'The first day after its window; null for one that never was to run.';
comment on column schedule_runs.window_tz is 'The IANA zone in which its days begin; null for one that never was to run.';
comment on column schedule_runs.max_attempts is 'How many executions it may spend before it is failed.';

-- Serves the overlap policies and whoever looks for runs that nobody works on.
create index schedule_runs_open on schedule_runs (schedule_id, created_at) where status in ('pending', 'running');
create index schedule_runs_by_age on schedule_runs (schedule_id, created_at desc);

-- A run never has two executions under way, and counts each of them once.
create unique index workflow_executions_one_per_run on workflow_executions (schedule_run_id)
    where schedule_run_id is not null
      and status in ('queued', 'submitting', 'submit_unknown', 'pending', 'running', 'fetching');
create unique index workflow_executions_run_attempt on workflow_executions (schedule_run_id, attempt)
    where schedule_run_id is not null;
