-- Runs that carry their work with them: one pending, one under way with its execution.
insert into schedule_runs (id, schedule_id, kind, scheduled_for, status, workflow_version_id, window_start, window_end, window_tz, started_at) values
    ('01900000-0000-7000-8000-000000000066', '01900000-0000-7000-8000-000000000055', 'slot', '2025-11-23T03:30:00Z', 'pending', '01900000-0000-7000-8000-000000000042', '2025-11-02', '2025-11-09', 'UTC', null),
    ('01900000-0000-7000-8000-000000000067', '01900000-0000-7000-8000-000000000055', 'manual', null, 'running', '01900000-0000-7000-8000-000000000042', '2025-11-01', '2025-11-08', 'America/New_York', '2025-11-23T09:00:00Z');
