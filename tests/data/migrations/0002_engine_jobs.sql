-- A job that waits, and one that runs.

insert into engine.jobs (run_at, created_at, timeout_ms, priority, max_attempts, queue, kind, args)
values (engine.now(), engine.now(), 1000, 2, 20, 'default', 'named', '{"name": "a"}');
insert into engine.jobs (
    run_at, created_at, claimed_at, session, fence, attempt, state, timeout_ms, priority,
    max_attempts, queue, kind, args
)
values (
    engine.now(), engine.now(), engine.now(), 1, 1, 1, 'running', 1000, 2, 20, 'default', 'named',
    '{"name": "b"}'
);
