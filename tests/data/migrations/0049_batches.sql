-- A batch under way on two instances: one has its rows, one is blocked.
insert into batch_executions
    (id, batch_id, name, workflow_version_id, user_id, window_start, window_end, window_tz, status, asked_by, started_at)
values
    ('01900000-0000-7000-8000-0000000000a1', 'batch_october', 'October', '01900000-0000-7000-8000-000000000042', '01900000-0000-7000-8000-000000000001',
     '2025-10-01', '2025-11-01', 'UTC', 'running', 'ana', '2025-11-20T08:00:00Z');
insert into batch_members (id, batch_id, instance_id, parameters, status, attempts, row_count, data_checksum, error_message, started_at, completed_at) values
    ('01900000-0000-7000-8000-0000000000b1', '01900000-0000-7000-8000-0000000000a1', '01900000-0000-7000-8000-000000000021', '{"brand": "Acme"}',
     'succeeded', 1, 12, sha256('rows'), null, '2025-11-20T08:00:00Z', '2025-11-20T08:10:00Z'),
    ('01900000-0000-7000-8000-0000000000b2', '01900000-0000-7000-8000-0000000000a1', '01900000-0000-7000-8000-000000000023', '{}',
     'blocked', 0, null, null, 'Terms and conditions must be accepted to continue.', null, null);
