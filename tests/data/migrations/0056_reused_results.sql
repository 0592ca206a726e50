-- One that took over the result of another.
insert into workflow_executions
    (id, workflow_version_id, instance_id, amc_instance_id, entity_id, marketplace_id, region, user_id, origin,
     window_start, window_end, window_tz, status, finished_at, reused_from)
select '01900000-0000-7000-8000-0000000000c1', workflow_version_id, instance_id, amc_instance_id, entity_id, marketplace_id,
    region, user_id, 'manual', window_start, window_end, window_tz, 'succeeded', '2025-11-23T08:00:00Z', id
from workflow_executions
where id = '01900000-0000-7000-8000-000000000097';
