-- A group that waits for a job, and one that was decided and then superseded.

insert into engine.groups (name, rule, reopens, made_at, total, open, follow_up, if_failed, feeds)
values ('all', 'all_done', false, engine.now(), 1, 1, '[]', '[]', '{}');
insert into engine.jobs (
    run_at, created_at, timeout_ms, priority, max_attempts, queue, kind, args, due, group_id
)
select engine.now(), engine.now(), 1000, 2, 20, 'default', 'named', '{"name": "d"}', true, id
from engine.groups where name = 'all';
insert into engine.members (group_id, name)
select group_id, 'job:' || id from engine.jobs where group_id is not null;
insert into engine.groups (
    name, rule, at_least, reopens, made_at, sealed_at, deadline, state, why, decided_at,
    total, done, discarded, fired, seen_done, superseded, follow_up, if_failed, feeds
)
values (
    'some', 'at_least', 1, false, engine.now(), engine.now(), engine.now(), 'met', 'a test',
    engine.now(), 3, 2, 1, 1, 1, true, '[]', '[]', '{}'
);
insert into engine.members (group_id, name, state, ended_at)
select id, ended, ended::engine.job_state, engine.now()
from engine.groups, unnest(array['done', 'discarded']) as ended where name = 'some';
