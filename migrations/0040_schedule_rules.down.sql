-- Takes away what 0040_schedule_rules.up.sql made.

set local lock_timeout = '10s';

drop index workflow_schedules_paused_for;
drop index workflow_schedules_resuming;

comment on column workflow_schedules.next_run_at is 'When it is due; null while it does not fire.';

alter table workflow_schedules
    drop constraint the_removed_are_paused,
    drop constraint only_the_paused_resume,
    drop constraint max_attempts_per_run_is_positive,
    drop constraint jitter_seconds_is_sane,
    drop constraint a_time_of_day_exactly_for_an_interval,
    drop column removed_at,
    drop column cost_limit,
    drop column execution_history_limit,
    drop column paused_for,
    drop column resume_at,
    drop column settled_until,
    drop column max_attempts_per_run,
    drop column jitter_seconds,
    drop column overlap,
    drop column anchor_time;

drop type overlap_policy;
