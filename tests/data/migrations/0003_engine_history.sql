-- A job of today, and one that went to the safety net.

insert into engine.jobs_history (
    id, created_at, finished_at, state, snoozes, attempt, throttles, denials, rescues,
    interruptions, queue, kind, args
)
values
    (3, engine.now(), engine.now(), 'done', 0, 1, 0, 0, 0, 0, 'default', 'named', '{}'),
    (4, '2020-01-01Z', '2020-01-01Z', 'discarded', 0, 3, 0, 0, 0, 0, 'default', 'named', '{}');
