-- A process that says what it works on, and a gate that somebody set.

insert into engine.sessions (host, pid, version, started_at, seen_at, queues, kinds)
values ('h', 3, '0.1.0', engine.now(), engine.now(), '{"default": 16}', '{"named": 1}');
insert into engine.events (at, resource, what, by, why)
values (engine.now(), 'amc_instance:demo', 'limit_set', 'ann', 'a test');
