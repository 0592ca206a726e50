-- What attempts leave behind: a cursor for the next one, progress for those who watch, and a log of
-- those that did not simply go well.

set local lock_timeout = '10s';

alter table engine.jobs
    add column cursor   jsonb,
    add column progress jsonb;

comment on column engine.jobs.cursor is 'Where the next attempt goes on; written by an attempt, kept by whatever ends it.';
comment on column engine.jobs.progress is 'How far it has come: {done, total, text}.';

alter table engine.jobs_history
    add column claimed_at timestamptz,
    add column cursor     jsonb,
    add column progress   jsonb;

comment on column engine.jobs_history.claimed_at is 'When the last attempt was claimed; from then to finished_at it took. Null if none ever was.';
comment on column engine.jobs_history.cursor is 'Where an attempt would have gone on; null when it is done.';
comment on column engine.jobs_history.progress is 'How far it had come: {done, total, text}.';

-- As before, and what attempts left behind goes with the job.
create or replace function engine.finish(
    job_ids bigint[], its_state engine.job_state, said text[] default null, deaths int default 0
) returns setof engine.jobs
language plpgsql
as $$
begin
    return query
    with gone as (
        delete from engine.jobs as job where job.id = any(job_ids) returning job.*
    ),
    kept as (
        insert into engine.jobs_history (
            id, created_at, finished_at, session, parent_id, state, snoozes, attempt, throttles,
            denials, rescues, interruptions, queue, kind, args, unique_key, last_error,
            timeout_ms, priority, max_attempts, share, version, uses, hold_as, if_discarded, replay_of,
            group_id, member,
            claimed_at, progress, cursor
        )
        select
            gone.id, gone.created_at, clock.now, gone.session, gone.parent_id, its_state,
            gone.snoozes, gone.attempt, gone.throttles, gone.denials, gone.rescues + deaths,
            gone.interruptions, gone.queue, gone.kind, gone.args, gone.unique_key,
            case
                when its_state = 'cancelled' and gone.cancel_asked_at is not null
                    then 'cancelled by ' || gone.cancel_by || ': ' || gone.cancel_why
                when cardinality(said) = 1 then coalesce(said[1], gone.last_error)
                else coalesce(told.sentence, gone.last_error)
            end,
            gone.timeout_ms, gone.priority, gone.max_attempts, gone.share, gone.version, gone.uses,
            gone.hold_as, gone.if_discarded, gone.replay_of,
            gone.group_id, gone.member, gone.claimed_at, gone.progress,
            case when its_state <> 'done' then gone.cursor end
        from gone
        left join unnest(job_ids, said) as told (id, sentence) on told.id = gone.id
        cross join (select engine.now() as now) as clock
    )
    select gone.* from gone;
end
$$;

-- An attempt that went well, or was snoozed, has no row: the job's own row tells of it.
create table engine.attempts (
    job_id   bigint not null,
    began_at timestamptz not null,
    ended_at timestamptz not null,
    session  bigint not null,
    fence    int not null,
    attempt  smallint not null,
    queue    text not null,
    kind     text not null,
    outcome  text not null,
    causes   text[] not null,

    constraint outcome_is_known check (
        outcome in (
            'transient', 'throttled', 'unauthorized', 'permanent', 'cancelled', 'interrupted',
            'rescued', 'snoozed'
        )
    )
) partition by range (ended_at);

comment on table engine.attempts is 'Attempts that did not simply go well, partitioned by the day they ended.';
comment on column engine.attempts.job_id is 'The job, unfinished or in the history.';
comment on column engine.attempts.began_at is 'When it was claimed.';
comment on column engine.attempts.ended_at is 'When how it went was written down, or its process was found dead.';
comment on column engine.attempts.session is 'The process that made it.';
comment on column engine.attempts.fence is 'Of all claims of the job, the number of this one.';
comment on column engine.attempts.attempt is 'Attempts spent then, this one included.';
comment on column engine.attempts.queue is 'The queue the job was in.';
comment on column engine.attempts.kind is 'Names the code that ran it.';
comment on column engine.attempts.outcome is 'The class of the failure; rescued when its process died; snoozed when it was one snooze too many.';
comment on column engine.attempts.causes is 'What went wrong and why, the outermost first.';

-- Serves the look-up of one job's attempts.
create index attempts_by_job on engine.attempts (job_id, fence);

-- The safety net, as the history has one.
create table engine.attempts_default partition of engine.attempts default;

-- As engine.make_history_partitions, for the log.
create function engine.make_attempts_partitions(days_ahead int) returns int
language plpgsql
as $$
declare
    made int := 0;
    from_day date := (engine.now() at time zone 'UTC')::date;
    this_day date;
    its_name text;
begin
    perform set_config('lock_timeout', '2s', true);
    perform pg_advisory_xact_lock(hashtext('engine.make_attempts_partitions'));
    for ahead in 0..days_ahead loop
        this_day := from_day + ahead;
        its_name := 'attempts_' || to_char(this_day, 'YYYYMMDD');
        if to_regclass('engine.' || its_name) is null then
            continue when exists (
                select 1 from engine.attempts_default
                where ended_at >= this_day::timestamp at time zone 'UTC'
                  and ended_at < (this_day + 1)::timestamp at time zone 'UTC'
            );
            execute format(
                'create table engine.%I partition of engine.attempts for values from (%L) to (%L)',
                its_name,
                this_day::timestamp at time zone 'UTC',
                (this_day + 1)::timestamp at time zone 'UTC'
            );
            made := made + 1;
        end if;
    end loop;
    return made;
end
$$;

comment on function engine.make_attempts_partitions(int) is 'Makes the log''s partitions from today on, that many days ahead; returns how many were new.';

create function engine.drop_attempts_partitions(retention interval) returns int
language plpgsql
as $$
declare
    dropped int := 0;
    its_name text;
begin
    perform set_config('lock_timeout', '2s', true);
    for its_name in
        select child.relname
        from pg_inherits
        join pg_class child on child.oid = pg_inherits.inhrelid
        where pg_inherits.inhparent = 'engine.attempts'::regclass
          and child.relname ~ '^attempts_[0-9]{8}$'
          and (to_date(right(child.relname, 8), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC'
              < engine.now() - retention
        order by child.relname
    loop
        execute format('drop table engine.%I', its_name);
        dropped := dropped + 1;
    end loop;
    delete from engine.attempts_default where ended_at < engine.now() - retention;
    return dropped;
end
$$;

comment on function engine.drop_attempts_partitions(interval) is 'Drops the log''s days that ended longer ago than the retention; returns how many.';

select engine.make_attempts_partitions(7);
