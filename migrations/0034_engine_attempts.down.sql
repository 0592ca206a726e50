-- Takes away the log of attempts, cursors and progress.

set local lock_timeout = '10s';

drop table engine.attempts;

alter table engine.jobs_history
    drop column claimed_at,
    drop column cursor,
    drop column progress;

alter table engine.jobs
    drop column cursor,
    drop column progress;
