-- One query kept by us alone, one that AMC keeps too, one that AMC refused, one put away.
insert into workflows
    (id, workflow_id, name, description, instance_id, user_id, tags, amc_workflow_id, amc_sync_status, amc_synced_at, amc_definition_hash, archived_at)
values
    ('01900000-0000-7000-8000-000000000031', 'wf_campaign_week', 'Campaigns by week', 'Impressions, clicks, conversions and spend of every campaign',
     '01900000-0000-7000-8000-000000000021', '01900000-0000-7000-8000-000000000001', '{weekly,campaigns}', null, 'not_synced', null, null, null),
    ('01900000-0000-7000-8000-000000000032', 'wf_path_to_conversion', 'Path to conversion', null,
     '01900000-0000-7000-8000-000000000021', '01900000-0000-7000-8000-000000000001', '{}', 'wf_path_to_conversion', 'synced', '2025-03-02T10:11:12Z',
     sha256('select path from conversions'), null),
    ('01900000-0000-7000-8000-000000000033', 'wf_ntb_de', 'New to brand', null,
     '01900000-0000-7000-8000-000000000023', '01900000-0000-7000-8000-000000000002', '{}', 'wf_ntb_de', 'sync_failed', null, null, null),
    ('01900000-0000-7000-8000-000000000034', 'wf_first_try', 'First try', null,
     '01900000-0000-7000-8000-000000000021', '01900000-0000-7000-8000-000000000001', '{}', null, 'not_synced', null, null, '2024-02-01T00:00:00Z');
