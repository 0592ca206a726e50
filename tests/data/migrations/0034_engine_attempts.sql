-- A job that has come half-way, and an attempt of it that failed.

update engine.jobs
set cursor = '{"page": 3}', progress = '{"done": 3, "total": 6, "text": null}'
where state = 'running';
insert into engine.attempts (
    job_id, began_at, ended_at, session, fence, attempt, queue, kind, outcome, causes
)
select
    id, engine.now(), engine.now(), session, fence, attempt, queue, kind, 'transient',
    array['while fetching', 'boom']
from engine.jobs
where state = 'running';
