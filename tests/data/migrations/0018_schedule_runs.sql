-- A run that succeeded, one that failed, one that was missed, one under way, one that a person asked for.
insert into schedule_runs (id, schedule_id, kind, scheduled_for, status, parameters, error_summary, started_at, finished_at) values
    ('01900000-0000-7000-8000-000000000061', '01900000-0000-7000-8000-000000000051', 'slot', '2025-11-03T07:00:00Z', 'succeeded', '{"start": "2025-10-13", "end": "2025-10-20"}', null, '2025-11-03T07:00:01Z', '2025-11-03T07:06:40Z'),
    ('01900000-0000-7000-8000-000000000062', '01900000-0000-7000-8000-000000000051', 'slot', '2025-11-10T07:00:00Z', 'failed', '{"start": "2025-10-20", "end": "2025-10-27"}', 'AMC rejected the execution', '2025-11-10T07:00:02Z', '2025-11-10T07:01:10Z'),
    ('01900000-0000-7000-8000-000000000063', '01900000-0000-7000-8000-000000000052', 'slot', '2025-10-27T00:00:00Z', 'missed', '{}', null, null, '2025-10-28T09:00:00Z'),
    ('01900000-0000-7000-8000-000000000064', '01900000-0000-7000-8000-000000000051', 'slot', '2025-11-17T07:00:00Z', 'running', '{"start": "2025-10-27", "end": "2025-11-03"}', null, '2025-11-17T07:00:01Z', null),
    ('01900000-0000-7000-8000-000000000065', '01900000-0000-7000-8000-000000000052', 'manual', null, 'pending', '{}', null, null, null);
