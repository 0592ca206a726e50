-- One version that compiles, one that does not.
insert into version_checks (workflow_version_id, instance_id, verdict, amc_execution_id, reason, asked_at, ended_at) values
    ('01900000-0000-7000-8000-000000000042', '01900000-0000-7000-8000-000000000021', 'passed', 'c7b3a799-7c8e-4289-9bf9-5da8f1785042', null, '2025-11-23T08:00:00Z', '2025-11-23T08:00:04Z'),
    ('01900000-0000-7000-8000-000000000043', '01900000-0000-7000-8000-000000000021', 'failed', 'c7b3a799-7c8e-4289-9bf9-5da8f1785043', 'Was unable to compile workflow', '2025-11-23T08:00:00Z', '2025-11-23T08:00:05Z');
