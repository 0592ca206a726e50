-- One row is one unfinished job. The row is the truth; every process may die at any moment.

create type engine.job_state as enum (
    'waiting',    -- may be claimed once run_at has passed and nothing blocks it
    'running',    -- leased to a session
    'done',       -- finished well
    'discarded',  -- given up: out of attempts, or hopeless
    'cancelled'   -- stopped by a person
);

create table engine.jobs (
    id            bigint generated always as identity primary key,
    run_at        timestamptz not null,
    created_at    timestamptz not null,
    claimed_at    timestamptz,
    session       bigint,
    parent_id     bigint,
    fence         int not null default 0,
    timeout_ms    int not null,
    state         engine.job_state not null default 'waiting',
    snoozes       int not null default 0,
    priority      smallint not null,
    attempt       smallint not null default 0,
    max_attempts  smallint not null,
    throttles     smallint not null default 0,
    denials       smallint not null default 0,
    rescues       smallint not null default 0,
    interruptions smallint not null default 0,
    queue         text not null,
    kind          text not null,
    args          jsonb not null,
    unique_key    text,
    resources     text[],
    hold_as       text,
    blocked_by    text,
    if_discarded  jsonb,
    last_error    text,

    constraint unfinished check (state in ('waiting', 'running')),
    constraint session_exactly_while_running check ((state = 'running') = (session is not null)),
    constraint priority_is_known check (priority between 0 and 3),
    constraint max_attempts_is_positive check (max_attempts > 0),
    constraint blocked_only_while_waiting check (blocked_by is null or state = 'waiting'),
    constraint hold_needs_resources check (hold_as is null or resources is not null)
) with (
    -- Rows live for seconds and die in crowds: vacuum early, and leave the planner's statistics fresh.
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05,
    fillfactor = 85
);

comment on table engine.jobs is 'Jobs that have not finished. Finished ones move to engine.jobs_history.';
comment on column engine.jobs.id is 'Names the job for ever, here and in the history.';
comment on column engine.jobs.run_at is 'Not claimed before this time.';
comment on column engine.jobs.created_at is 'When it was enqueued.';
comment on column engine.jobs.claimed_at is 'When the current or last attempt was claimed.';
comment on column engine.jobs.session is 'The process that runs it now.';
comment on column engine.jobs.parent_id is 'The job that asked for this one.';
comment on column engine.jobs.fence is 'Raised by every claim. A write that carries an older fence is refused.';
comment on column engine.jobs.timeout_ms is 'How long one attempt may take, in milliseconds.';
comment on column engine.jobs.state is 'waiting or running; the other states are found in the history.';
comment on column engine.jobs.snoozes is 'How often it asked to run again later.';
comment on column engine.jobs.priority is '0 is claimed first, 3 last.';
comment on column engine.jobs.attempt is 'Attempts spent, the running one included.';
comment on column engine.jobs.max_attempts is 'Attempts it may spend before it is discarded.';
comment on column engine.jobs.throttles is 'How often the outside asked it to slow down, since it last went well.';
comment on column engine.jobs.denials is 'How often its credential was refused, since it last went well.';
comment on column engine.jobs.rescues is 'How often its process died under it, since it last went well.';
comment on column engine.jobs.interruptions is 'How often a stopping process handed it back.';
comment on column engine.jobs.queue is 'Jobs of one queue share a process''s slots.';
comment on column engine.jobs.kind is 'Names the code that runs it.';
comment on column engine.jobs.args is 'The typed arguments, as JSON.';
comment on column engine.jobs.unique_key is 'At most one unfinished job has this key.';
comment on column engine.jobs.resources is 'The outside things it uses; their gates decide with run_at when it may start.';
comment on column engine.jobs.hold_as is 'The holder in whose name it takes a place on each limited resource it uses.';
comment on column engine.jobs.blocked_by is 'The resource whose gate keeps it from being claimed; null when none does.';
comment on column engine.jobs.if_discarded is 'A job to enqueue in the transaction that discards this one.';
comment on column engine.jobs.last_error is 'What the last failed attempt said.';

-- Serves claim, one range per priority.
create index jobs_to_claim on engine.jobs (queue, priority, run_at, id)
    where state = 'waiting' and blocked_by is null;
-- Serves rescue.
create index jobs_running on engine.jobs (session) where state = 'running';
-- Serves the opening of a gate.
create index jobs_blocked on engine.jobs (blocked_by, priority, run_at, id) where blocked_by is not null;
-- Unique while active: a finished job leaves the table, and its key with it.
create unique index jobs_unique_key on engine.jobs (unique_key) where unique_key is not null;
