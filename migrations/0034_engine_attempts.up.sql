-- What attempts leave behind: a cursor for the next one, progress for those who watch, and a log of
-- those that did not simply go well.

set local lock_timeout = '10s';

alter table engine.jobs
    add column cursor   jsonb,
    add column progress jsonb;

comment on column engine.jobs.cursor is 'Where the next attempt goes on; written by an attempt, kept by whatever ends it.';
comment on column engine.jobs.progress is 'How far it has come: {done, total, text}.';

alter table engine.jobs_history
    add column claimed_at timestamptz,
    add column cursor     jsonb,
    add column progress   jsonb;

comment on column engine.jobs_history.claimed_at is 'When the last attempt was claimed; from then to finished_at it took. Null if none ever was.';
comment on column engine.jobs_history.cursor is 'Where an attempt would have gone on; null when it is done.';
comment on column engine.jobs_history.progress is 'How far it had come: {done, total, text}.';

-- An attempt that went well, or was snoozed, has no row: the job's own row tells of it.
create table engine.attempts (
    job_id   bigint not null,
    began_at timestamptz not null,
    ended_at timestamptz not null,
    session  bigint not null,
    fence    int not null,
    attempt  smallint not null,
    queue    text not null,
    kind     text not null,
    outcome  text not null,
    causes   text[] not null,

    constraint outcome_is_known check (
        outcome in (
            'transient', 'throttled', 'unauthorized', 'permanent', 'cancelled', 'interrupted',
            'rescued', 'snoozed'
        )
    )
) partition by range (ended_at);

comment on table engine.attempts is 'Attempts that did not simply go well, partitioned by the day they ended.';
comment on column engine.attempts.job_id is 'The job, unfinished or in the history.';
comment on column engine.attempts.began_at is 'When it was claimed.';
comment on column engine.attempts.ended_at is 'When how it went was written down, or its process was found dead.';
comment on column engine.attempts.session is 'The process that made it.';
comment on column engine.attempts.fence is 'Of all claims of the job, the number of this one.';
comment on column engine.attempts.attempt is 'Attempts spent then, this one included.';
comment on column engine.attempts.queue is 'The queue the job was in.';
comment on column engine.attempts.kind is 'Names the code that ran it.';
comment on column engine.attempts.outcome is 'The class of the failure; rescued when its process died; snoozed when it was one snooze too many.';
comment on column engine.attempts.causes is 'What went wrong and why, the outermost first.';

-- Serves the look-up of one job's attempts.
create index attempts_by_job on engine.attempts (job_id, fence);

-- The safety net, as the history has one.
create table engine.attempts_default partition of engine.attempts default;

select engine.make_days(7);
