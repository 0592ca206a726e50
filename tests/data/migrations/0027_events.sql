-- A life of an execution, and a person's word.
insert into events (at, entity, entity_id, from_status, to_status, actor, reason, detail) values
    ('2025-10-20T08:00:02Z', 'execution', '01900000-0000-7000-8000-000000000097', 'queued', 'submitting', 'submit_execution', null, '{}'),
    ('2025-10-20T08:00:03Z', 'execution', '01900000-0000-7000-8000-000000000097', 'submitting', 'pending', 'submit_execution', null, '{"amc_status": "PENDING"}'),
    ('2025-09-01T08:00:00Z', 'schedule', '01900000-0000-7000-8000-000000000053', 'active', 'paused', 'ana.lima@brightshelf.example', 'the campaign has ended', '{}');
