-- What becomes of a run of a schedule of which webhooks are told one thing only.
insert into events (at, entity, entity_id, from_status, to_status, actor, reason)
select '2025-11-24T12:00:00Z', 'schedule_run', run.id::text, 'running', 'failed', 'run_schedule', 'no'
from schedule_runs as run
order by run.id
limit 1;

-- A Slack webhook whose address stands in clear.
insert into webhooks (id, url, secret_encrypted, format, events) values
    ('01900000-0000-7000-8000-0000000000a2', 'https://hooks.slack.example/services/T0/B0/secret', 'gAAAAABnwslack', 'slack', '{resumed}');
