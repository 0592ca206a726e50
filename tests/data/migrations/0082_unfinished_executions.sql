-- One that nobody has sent yet.
insert into workflow_executions
    (id, workflow_version_id, instance_id, amc_instance_id, entity_id, marketplace_id, region, user_id, origin,
     window_start, window_end, window_tz, status)
select '01900000-0000-7000-8000-0000000000d2', workflow_version_id, instance_id, amc_instance_id, entity_id, marketplace_id,
    region, user_id, 'manual', window_start, window_end, window_tz, 'queued'
from workflow_executions
where id = '01900000-0000-7000-8000-000000000097';
