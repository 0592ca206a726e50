-- The only way from the hot table to the history: whatever a job has becomes a row there.

set local lock_timeout = '10s';

-- The caller has locked the jobs, in the order of their ids. `said` is why they end, in their order, or one
-- sentence for all of them; null keeps what the last failed attempt said.
create function engine.finish(
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

comment on function engine.finish(bigint[], engine.job_state, text[], int)
    is 'Moves locked jobs to the history and gives them back as they were.';
