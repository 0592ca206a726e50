-- A run that ended long ago, of whichever schedule.
insert into schedule_runs (id, schedule_id, kind, status, error_summary, created_at, finished_at)
select '01900000-0000-7000-8000-0000000000f4', id, 'manual', 'failed', 'no', '2024-01-01T00:00:00Z', '2024-01-01T00:01:00Z'
from workflow_schedules
order by id
limit 1;
