-- One event that is long past its time, and is still there.
insert into events (at, entity, entity_id, from_status, to_status, actor, reason, detail) values
    ('2023-01-02T08:00:00Z', 'execution', '01900000-0000-7000-8000-000000000097', 'running', 'fetching', 'poll_status', null, '{}');
