-- Steering: what a person or a program asks of jobs that are there already, and what a replay needs to know.

set local lock_timeout = '10s';

alter table engine.jobs
    add column cancel_asked_at timestamptz,
    add column cancel_by       text,
    add column cancel_why      text,
    add column replay_of       bigint,
    -- A job that waits is cancelled at once; one that was asked to end never waits again.
    add constraint cancel_is_asked_of_running_jobs check (
        (cancel_asked_at is null or state = 'running')
        and (cancel_asked_at is null) = (cancel_by is null)
        and (cancel_asked_at is null) = (cancel_why is null)
    );

comment on column engine.jobs.cancel_asked_at is 'When somebody asked that it be cancelled while it ran.';
comment on column engine.jobs.cancel_by is 'Who did.';
comment on column engine.jobs.cancel_why is 'Why, in a sentence.';
comment on column engine.jobs.replay_of is 'The finished job that this one does again.';

-- Serves a process that asks which of its jobs are to end.
create index jobs_to_cancel on engine.jobs (session) where cancel_asked_at is not null;

-- What it takes to do a finished job again. The defaults are those of the jobs that finished before.
alter table engine.jobs_history
    add column timeout_ms   int not null default 600000,
    add column priority     smallint not null default 2,
    add column max_attempts smallint not null default 20,
    add column share        smallint not null default 0,
    add column version      smallint not null default 1,
    add column uses         jsonb,
    add column hold_as      text,
    add column if_discarded jsonb,
    add column replay_of    bigint,
    add column replayed_as  bigint;

comment on column engine.jobs_history.timeout_ms is 'How long one attempt might take, in milliseconds.';
comment on column engine.jobs_history.priority is '0 was claimed first, 3 last.';
comment on column engine.jobs_history.max_attempts is 'Attempts it might spend.';
comment on column engine.jobs_history.share is 'The part of a process''s slots it came out of.';
comment on column engine.jobs_history.version is 'The version of its arguments.';
comment on column engine.jobs_history.uses is 'What it took of which outside things.';
comment on column engine.jobs_history.hold_as is 'The holder in whose name it took places.';
comment on column engine.jobs_history.if_discarded is 'The job that was enqueued if it was discarded.';
comment on column engine.jobs_history.replay_of is 'The finished job that it did again.';
comment on column engine.jobs_history.replayed_as is 'The job that does it again. A job is replayed once; after that, its replay is.';

alter table engine.events add column jobs bigint;

comment on table engine.events is 'What people, programs and the engine did to gates and to jobs, and why.';
comment on column engine.events.resource is 'The resource, queue or kind whose gate it was; job:<id>, or the jobs that were chosen.';
comment on column engine.events.what is 'Such as paused, resumed, breaker_opened, cancelled, replayed.';
comment on column engine.events.jobs is 'How many jobs it changed; null for gates.';

-- RFC 7396: null takes a field away, an object is merged, anything else takes the field's place.
create function engine.merge_patch(target jsonb, patch jsonb) returns jsonb
language plpgsql immutable parallel safe
as $$
declare
    merged jsonb;
    field  record;
begin
    if jsonb_typeof(patch) <> 'object' then
        return patch;
    end if;
    merged := case when jsonb_typeof(target) = 'object' then target else '{}' end;
    for field in select key, value from jsonb_each(patch) loop
        if jsonb_typeof(field.value) = 'null' then
            merged := merged - field.key;
        else
            merged := jsonb_set(
                merged, array[field.key], engine.merge_patch(merged -> field.key, field.value)
            );
        end if;
    end loop;
    return merged;
end
$$;

comment on function engine.merge_patch(jsonb, jsonb) is 'Changes a JSON document as RFC 7396 says.';
