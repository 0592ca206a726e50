-- A job in a lane that is shut, with everything else that came with lanes.

insert into engine.jobs (
    run_at, created_at, timeout_ms, priority, max_attempts, queue, kind, args, uses, hold_as, due
)
values (
    engine.now(), engine.now(), 1000, 2, 20, 'default', 'named', '{"name": "c"}',
    '[{"resource": "amc_instance:demo", "cost": 1, "hold": true}]', 'execution:2', true
);
select engine.make_lane(jobs) from engine.jobs where uses is not null and hold_as is not null;
update engine.lanes
set shut_by = 'amc_instance:demo', shut_gate = 'hold', shut_since = engine.now();
update engine.resources
set paused_at = engine.now(), paused_by = 'ann', pause_reason = 'a test'
where name = 'queue:default';
insert into engine.events (at, resource, what, by, why)
values (engine.now(), 'queue:default', 'paused', 'ann', 'a test');
