-- One under way, one complete, one complete but for a week, one paused, one failed.
insert into report_data_collections
    (id, collection_id, name, workflow_version_id, instance_id, user_id, kind, grain, period_start, period_end, target_weeks,
     timezone, parameters, status, last_error, started_at, finished_at)
values
    ('01900000-0000-7000-8000-000000000071', 'col_2025_campaigns', 'Campaigns, 52 weeks', '01900000-0000-7000-8000-000000000042', '01900000-0000-7000-8000-000000000021', '01900000-0000-7000-8000-000000000001',
     'backfill', 'week', '2024-11-04', '2025-11-03', 52, 'UTC', '{"ad_product_type": "sponsored_products"}', 'running', null, '2025-11-20T08:00:00Z', null),
    ('01900000-0000-7000-8000-000000000072', 'col_2025_autumn', 'Autumn', '01900000-0000-7000-8000-000000000041', '01900000-0000-7000-8000-000000000021', '01900000-0000-7000-8000-000000000001',
     'backfill', 'week', '2025-09-01', '2025-09-29', 4, 'America/New_York', '{}', 'completed', null, '2025-10-20T08:00:00Z', '2025-10-20T08:31:00Z'),
    ('01900000-0000-7000-8000-000000000073', 'col_2025_days', 'Days of June', '01900000-0000-7000-8000-000000000043', '01900000-0000-7000-8000-000000000021', '01900000-0000-7000-8000-000000000001',
     'backfill', 'day', '2025-06-01', '2025-06-04', 3, 'UTC', '{}', 'completed_with_errors', '2025-06-03: AMC could not compile the query', '2025-07-01T08:00:00Z', '2025-07-01T09:00:00Z'),
    ('01900000-0000-7000-8000-000000000074', 'col_de', 'Deutschland', '01900000-0000-7000-8000-000000000042', '01900000-0000-7000-8000-000000000023', '01900000-0000-7000-8000-000000000002',
     'incremental', 'month', '2025-08-01', '2025-10-01', 2, 'Europe/Berlin', '{}', 'paused', 'Terms and conditions must be accepted to continue.', '2025-11-01T08:00:00Z', null);
