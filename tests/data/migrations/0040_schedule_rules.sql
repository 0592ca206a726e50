-- One with every rule of its own, one that goes on by itself, one that waits for a person at Amazon.
insert into workflow_schedules
    (id, schedule_id, workflow_id, user_id, name, schedule_type, cron_expression, interval_days, anchor_date, anchor_time,
     status, pause_reason, paused_at, overlap, jitter_seconds, settled_until, next_run_at, resume_at, paused_for, execution_history_limit, cost_limit)
values
    ('01900000-0000-7000-8000-000000000055', 'sch_daily', '01900000-0000-7000-8000-000000000031', '01900000-0000-7000-8000-000000000001',
     'Every day', 'interval', null, 1, '2025-01-06', '03:30', 'active', null, null, 'queue_one', 600, '2025-11-23T04:00:00Z', '2025-11-24T03:30:00Z', null, null, 30, 12.50),
    ('01900000-0000-7000-8000-000000000056', 'sch_holidays', '01900000-0000-7000-8000-000000000031', '01900000-0000-7000-8000-000000000001',
     'Not over the holidays', 'cron', '0 6 * * 1', null, null, null, 'paused', 'nobody looks', '2025-12-20T12:00:00Z', 'cancel_old', 0, '2025-12-20T12:00:00Z', null, '2026-01-05T00:00:00Z', null, null, null),
    ('01900000-0000-7000-8000-000000000057', 'sch_terms', '01900000-0000-7000-8000-000000000031', '01900000-0000-7000-8000-000000000001',
     'Terms', 'cron', '0 6 * * 1', null, null, null, 'auto_paused', 'Amazon refuses us on amcibersblt', '2025-11-20T12:00:00Z', 'skip', 0, '2025-11-20T12:00:00Z', null, null, 'amc_access:amcibersblt', null, null);
