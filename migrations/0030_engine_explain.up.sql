-- What explain needs to know: what each process works on, and who set a gate.

set local lock_timeout = '10s';

alter table engine.sessions
    add column queues jsonb,
    add column kinds  jsonb;

comment on column engine.sessions.queues is 'The queues it works on, each with its slots: {"default": 16}; null when it did not say.';
comment on column engine.sessions.kinds is 'The kinds it can run, each with the newest version it can read: {"ping": 1}; null for any.';

-- Serves the question who set a gate last.
create index events_by_what on engine.events (resource, what, id desc);
