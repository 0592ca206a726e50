-- One row is one process start. A process that stops renewing its row has lost its jobs.

create table engine.sessions (
    id         bigint generated always as identity primary key,
    host       text not null,
    pid        int not null,
    version    text not null,
    started_at timestamptz not null,
    seen_at    timestamptz not null,
    ended_at   timestamptz,
    end_reason text,

    constraint end_has_a_reason check ((ended_at is null) = (end_reason is null))
) with (fillfactor = 50);

comment on table engine.sessions is 'The processes that run jobs, and when they were last heard of.';
comment on column engine.sessions.id is 'Never used again by another process start.';
comment on column engine.sessions.host is 'The machine it runs on.';
comment on column engine.sessions.pid is 'The process there.';
comment on column engine.sessions.version is 'The build it runs.';
comment on column engine.sessions.started_at is 'When it began.';
comment on column engine.sessions.seen_at is 'When it last renewed the lease on all its jobs.';
comment on column engine.sessions.ended_at is 'When it stopped or was given up for dead.';
comment on column engine.sessions.end_reason is 'stopped, or lost.';

create index sessions_alive on engine.sessions (seen_at) where ended_at is null;
