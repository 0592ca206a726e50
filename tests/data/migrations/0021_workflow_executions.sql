-- Executions at every place an execution can stand.
insert into workflow_executions
    (id, workflow_version_id, instance_id, amc_instance_id, entity_id, marketplace_id, region, user_id, origin, week_id, schedule_run_id,
     window_start, window_end, window_tz, status, client_ref, request_body, request_fingerprint, submit_started_at, submitted_at,
     amc_execution_id, amc_status, amc_status_reason, amc_created_at, last_polled_at, deadline_at, finished_at, error_class, error_code, error_message)
select
    ('01900000-0000-7000-8000-0000000000' || id)::uuid, '01900000-0000-7000-8000-000000000042', '01900000-0000-7000-8000-000000000021', 'amcibersblt', 'ENTITY2NQX8M1ABCDE', 'ATVPDKIKX0DER', 'na',
    '01900000-0000-7000-8000-000000000001', origin::execution_origin, week_id::uuid, schedule_run_id::uuid,
    '2025-09-01T00:00:00', '2025-09-08T00:00:00', 'UTC', status::execution_status,
    case when sent then 'eng-' || id || '-1' end,
    case when sent then '{"workflow": {"sqlQuery": "SELECT 1"}, "timeWindowType": "EXPLICIT"}'::jsonb end,
    case when sent then sha256(convert_to(id, 'UTF8')) end,
    case when sent then timestamptz '2025-10-20T08:00:02Z' end,
    case when amc_status is not null then timestamptz '2025-10-20T08:00:03Z' end,
    case when amc_status is not null then 'b3a77999-7c8e-4289-9bf9-5da8f17853' || id end,
    amc_status, reason,
    case when amc_status is not null then timestamptz '2025-10-20T08:00:02Z' end,
    case when amc_status is not null then timestamptz '2025-10-20T08:05:00Z' end,
    case when amc_status is not null then timestamptz '2025-10-21T10:00:00Z' end,
    case when finished then timestamptz '2025-10-20T08:06:00Z' end,
    error_class, error_code, error_message
from (values
    ('91', 'manual', null, null, 'queued', false, null, null, false, null, null, null),
    ('92', 'api', null, null, 'submitting', true, null, null, false, null, null, null),
    ('93', 'manual', null, null, 'submit_unknown', true, null, null, false, null, null, null),
    ('94', 'manual', null, null, 'pending', true, 'PENDING', null, false, null, null, null),
    ('95', 'schedule', null, '01900000-0000-7000-8000-000000000064', 'running', true, 'PUBLISHING', null, false, null, null, null),
    ('96', 'manual', null, null, 'fetching', true, 'SUCCEEDED', null, false, null, null, null),
    ('97', 'collection', '01900000-0000-7000-8000-000000000085', null, 'succeeded', true, 'SUCCEEDED', null, true, null, null, null),
    ('98', 'collection', '01900000-0000-7000-8000-000000000083', null, 'failed', true, 'FAILED', 'Was unable to compile workflow', true, 'permanent', '400', 'AMC could not compile the query'),
    ('99', 'schedule', null, '01900000-0000-7000-8000-000000000062', 'rejected', true, 'REJECTED', 'overlapping time windows', true, 'rejected', null, 'overlapping time windows'),
    ('9a', 'collection', '01900000-0000-7000-8000-000000000082', null, 'cancelled', true, 'CANCELLED', null, true, 'cancelled', null, 'stopped by a person'),
    ('9b', 'manual', null, null, 'timed_out', true, 'PENDING', null, true, 'deadline', null, 'still PENDING after 26 hours')
) as e (id, origin, week_id, schedule_run_id, status, sent, amc_status, reason, finished, error_class, error_code, error_message);
