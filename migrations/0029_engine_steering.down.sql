-- Takes away the steering of jobs, and what the history keeps for a replay.

set local lock_timeout = '10s';

drop function engine.merge_patch(jsonb, jsonb);

alter table engine.events drop column jobs;

comment on table engine.events is 'What happened to gates: who opened or shut which, and why.';
comment on column engine.events.resource is 'The resource, queue or kind whose gate it was.';
comment on column engine.events.what is 'Such as paused, resumed, breaker_opened.';

alter table engine.jobs_history
    drop column timeout_ms,
    drop column priority,
    drop column max_attempts,
    drop column share,
    drop column version,
    drop column uses,
    drop column hold_as,
    drop column if_discarded,
    drop column replay_of,
    drop column replayed_as;

drop index engine.jobs_to_cancel;

alter table engine.jobs
    drop constraint cancel_is_asked_of_running_jobs,
    drop column cancel_asked_at,
    drop column cancel_by,
    drop column cancel_why,
    drop column replay_of;
