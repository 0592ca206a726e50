-- A copy that AMC has, and one that it refused.
update workflows set submit_mode = 'saved' where workflow_id = 'wf_path_to_conversion';
insert into saved_copies (workflow_version_id, instance_id, amc_workflow_id, status, reason, asked_at, synced_at) values
    ('01900000-0000-7000-8000-000000000042', '01900000-0000-7000-8000-000000000021', 'rec-wf_campaign_week-a1b2c3d4e5f6', 'synced', null, '2025-11-23T08:00:00Z', '2025-11-23T08:00:04Z'),
    ('01900000-0000-7000-8000-000000000043', '01900000-0000-7000-8000-000000000021', 'rec-wf_path_to_conversion-0a1b2c3d4e5f', 'sync_failed', 'Was unable to compile workflow', '2025-11-23T08:00:00Z', null);
