-- Weekly by cron, every 14 days by interval, one paused by a person, one by the engine.
insert into workflow_schedules
    (id, schedule_id, workflow_id, user_id, name, schedule_type, cron_expression, interval_days, anchor_date, timezone,
     window_anchor, status, pause_reason, paused_at, consecutive_failures, last_run_at, next_run_at)
values
    ('01900000-0000-7000-8000-000000000051', 'sch_weekly', '01900000-0000-7000-8000-000000000031', '01900000-0000-7000-8000-000000000001',
     'Every Monday', 'cron', '0 2 * * 1', null, null, 'America/New_York', 'week', 'active', null, null, 1, '2025-11-17T07:00:00Z', '2025-11-24T07:00:00Z'),
    ('01900000-0000-7000-8000-000000000052', 'sch_fortnight', '01900000-0000-7000-8000-000000000032', '01900000-0000-7000-8000-000000000001',
     'Every fortnight', 'interval', null, 14, '2025-01-06', 'UTC', 'day', 'active', null, null, 0, null, '2025-11-24T00:00:00Z'),
    ('01900000-0000-7000-8000-000000000053', 'sch_summer', '01900000-0000-7000-8000-000000000032', '01900000-0000-7000-8000-000000000001',
     'Summer campaign', 'cron', '0 6 * * *', null, null, 'UTC', 'day', 'paused', 'the campaign has ended', '2025-09-01T08:00:00Z', 0, '2025-09-01T06:00:00Z', null),
    ('01900000-0000-7000-8000-000000000054', 'sch_de', '01900000-0000-7000-8000-000000000033', '01900000-0000-7000-8000-000000000002',
     'Deutschland', 'cron', '30 4 * * 2', null, null, 'Europe/Berlin', 'week', 'auto_paused', '3 runs in a row failed: Terms and conditions must be accepted to continue.', '2025-10-14T03:00:00Z', 3, '2025-10-14T02:30:00Z', null);
