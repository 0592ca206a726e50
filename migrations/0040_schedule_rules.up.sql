-- What a schedule does when runs overlap, when it fires late, and when it goes on by itself.

set local lock_timeout = '10s';

create type overlap_policy as enum (
    'skip',       -- the new run is skipped while an earlier one is unfinished
    'queue_one',  -- one run waits for the earlier one to finish; further ones are skipped
    'cancel_old'  -- the earlier one is cancelled, at AMC too
);

comment on type overlap_policy is 'What happens to a run that is due while an earlier one of its schedule is unfinished.';

alter table workflow_schedules
    add column anchor_time time,
    add column overlap overlap_policy not null default 'skip',
    add column jitter_seconds int not null default 0,
    add column max_attempts_per_run int not null default 5,
    add column settled_until timestamptz,
    add column resume_at timestamptz,
    add column paused_for text,
    add column execution_history_limit int,
    add column cost_limit numeric,
    add column removed_at timestamptz;

-- Until now nothing fired: what was due before this is nobody's any more.
update workflow_schedules
set settled_until = coalesce(last_run_at, created_at),
    anchor_time = case schedule_type when 'interval' then time '00:00' end;

alter table workflow_schedules
    alter column settled_until set not null,
    add constraint a_time_of_day_exactly_for_an_interval
        check ((schedule_type = 'interval') = (anchor_time is not null)),
    add constraint jitter_seconds_is_sane check (jitter_seconds between 0 and 86400),
    add constraint max_attempts_per_run_is_positive check (max_attempts_per_run > 0),
    add constraint only_the_paused_resume
        check (status <> 'active' or (resume_at is null and paused_for is null)),
    add constraint the_removed_are_paused check (removed_at is null or status <> 'active');

comment on column workflow_schedules.anchor_time is 'The time of day at which an interval is due; null for cron.';
comment on column workflow_schedules.overlap is 'What happens to a run that is due while an earlier one is unfinished.';
comment on column workflow_schedules.jitter_seconds is 'By how many seconds at most the work of a run is put off, so that not everything starts at the full hour.';
comment on column workflow_schedules.max_attempts_per_run is 'How many executions a run may spend before it is failed.';
comment on column workflow_schedules.settled_until is 'Every time that was due until then has its run.';
comment on column workflow_schedules.resume_at is 'When it goes on by itself; null when it does not.';
comment on column workflow_schedules.paused_for is 'The resource whose opening lets it go on; null when it waits for no resource.';
comment on column workflow_schedules.execution_history_limit is 'How many runs an importer said to keep; kept as it came.';
comment on column workflow_schedules.cost_limit is 'What an importer said a run may cost; kept as it came.';
comment on column workflow_schedules.removed_at is 'When a person took it away; its runs stay.';
comment on column workflow_schedules.next_run_at is 'When it is next looked at: the first due time after settled_until; null while it does not fire.';

-- Serves those that go on at a time of their own.
create index workflow_schedules_resuming on workflow_schedules (resume_at) where resume_at is not null;
create index workflow_schedules_paused_for on workflow_schedules (paused_for) where paused_for is not null;
