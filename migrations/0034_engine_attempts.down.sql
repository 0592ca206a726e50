-- Takes away the log of attempts, cursors and progress.

drop function engine.drop_attempts_partitions(interval);
drop function engine.make_attempts_partitions(int);
drop table engine.attempts;

alter table engine.jobs_history
    drop column claimed_at,
    drop column cursor,
    drop column progress;

alter table engine.jobs
    drop column cursor,
    drop column progress;
