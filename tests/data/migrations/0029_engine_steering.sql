-- A job that is asked to end, and one that does another again.

insert into engine.sessions (host, pid, version, started_at, seen_at)
values ('here', 29, '0', engine.now(), engine.now());
insert into engine.jobs (
    run_at, created_at, timeout_ms, priority, max_attempts, queue, kind, args, state, session,
    cancel_asked_at, cancel_by, cancel_why
)
select
    engine.now(), engine.now(), 1000, 2, 20, 'default', 'named', '{"name": "d"}', 'running', max(id),
    engine.now(), 'ann', 'a test'
from engine.sessions;
insert into engine.jobs (
    run_at, created_at, timeout_ms, priority, max_attempts, queue, kind, args, replay_of
)
values (engine.now(), engine.now(), 1000, 2, 20, 'default', 'named', '{"name": "e"}', 4);
update engine.jobs_history set replayed_as = 5 where id = 4;
insert into engine.events (at, resource, what, by, why, jobs)
values (engine.now(), 'job:4', 'replayed', 'ann', 'a test', 1);
