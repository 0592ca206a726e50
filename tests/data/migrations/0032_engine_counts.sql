-- A change of the counts that is folded in, and one that is not.

insert into engine.jobs (run_at, created_at, timeout_ms, priority, max_attempts, queue, kind, args, due)
values (engine.now(), engine.now(), 1000, 2, 20, 'default', 'named', '{"name": "counted"}', true);
select engine.fold_counts();
update engine.jobs set blocked_by = 'lwa:demo' where args ->> 'name' = 'counted';
