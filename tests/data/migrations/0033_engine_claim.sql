-- A job in a lane that nobody has made yet, and one that has been idle.

insert into engine.jobs (run_at, created_at, timeout_ms, priority, max_attempts, queue, kind, args, due)
values (engine.now(), engine.now(), 1000, 2, 20, 'default', 'unmade', '{"name": "e"}', true);
update engine.lanes set idle_since = engine.now();
