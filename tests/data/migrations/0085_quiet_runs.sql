-- What becomes of a run of a schedule of which webhooks are told one thing only.
insert into events (at, entity, entity_id, from_status, to_status, actor, reason)
select '2025-11-24T12:00:00Z', 'schedule_run', run.id::text, 'running', 'failed', 'run_schedule', 'no'
from schedule_runs as run
order by run.id
limit 1;
