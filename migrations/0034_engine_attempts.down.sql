-- Takes away the log of attempts, cursors and progress.

drop function engine.drop_attempts_partitions(interval);
drop function engine.make_attempts_partitions(int);
drop table engine.attempts;

-- As it was before.
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
            group_id, member
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
            gone.group_id, gone.member
        from gone
        left join unnest(job_ids, said) as told (id, sentence) on told.id = gone.id
        cross join (select engine.now() as now) as clock
    )
    select gone.* from gone;
end
$$;

alter table engine.jobs_history
    drop column claimed_at,
    drop column cursor,
    drop column progress;

alter table engine.jobs
    drop column cursor,
    drop column progress;
