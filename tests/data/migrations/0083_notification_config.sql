-- A schedule of which webhooks are told one thing only, and an event that they are not told of.
update workflow_schedules set notification_config = '{"events": ["run_failed"]}'
where id = '01900000-0000-7000-8000-000000000055';
insert into events (at, entity, entity_id, from_status, to_status, actor, reason)
select '2025-11-24T11:00:00Z', 'schedule', schedule_id, 'active', 'auto_paused', 'engine', 'three runs failed'
from workflow_schedules where id = '01900000-0000-7000-8000-000000000055';
