-- A process that lives, and one that was lost.

insert into engine.sessions (host, pid, version, started_at, seen_at, ended_at, end_reason)
values
    ('here', 1, '0.1.0', engine.now(), engine.now(), null, null),
    ('there', 2, '0.1.0', engine.now(), engine.now(), engine.now(), 'lost');
