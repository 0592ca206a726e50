-- Takes away what 0080_schedule_cost.up.sql made.

set local lock_timeout = '10s';

alter table workflow_schedules
    drop constraint cost_limit_is_not_negative,
    drop column cost_limit;
