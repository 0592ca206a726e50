-- Takes away what 0041_schedule_run_work.up.sql made.

set local lock_timeout = '10s';

drop index workflow_executions_run_attempt;
drop index workflow_executions_one_per_run;
drop index schedule_runs_by_age;
drop index schedule_runs_open;

alter table schedule_runs
    drop constraint max_attempts_is_positive,
    drop constraint window_is_not_empty,
    drop constraint window_whole_or_not_at_all,
    drop column max_attempts,
    drop column window_tz,
    drop column window_end,
    drop column window_start,
    drop column workflow_version_id;
