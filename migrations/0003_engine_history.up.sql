-- Finished jobs, by day. A day is dropped whole, so nothing ever rots here.

create table engine.jobs_history (
    id            bigint not null,
    created_at    timestamptz not null,
    finished_at   timestamptz not null,
    session       bigint,
    parent_id     bigint,
    state         engine.job_state not null,
    snoozes       int not null,
    attempt       smallint not null,
    throttles     smallint not null,
    denials       smallint not null,
    rescues       smallint not null,
    interruptions smallint not null,
    queue         text not null,
    kind          text not null,
    args          jsonb not null,
    unique_key    text,
    last_error    text,

    constraint finished check (state in ('done', 'discarded', 'cancelled'))
) partition by range (finished_at);

comment on table engine.jobs_history is 'Jobs that have finished, partitioned by the day they did.';
comment on column engine.jobs_history.id is 'The id the job had while it was unfinished.';
comment on column engine.jobs_history.created_at is 'When it was enqueued.';
comment on column engine.jobs_history.finished_at is 'When it finished.';
comment on column engine.jobs_history.session is 'The process that ran it last.';
comment on column engine.jobs_history.parent_id is 'The job that asked for this one.';
comment on column engine.jobs_history.state is 'done, discarded or cancelled.';
comment on column engine.jobs_history.snoozes is 'How often it asked to run again later.';
comment on column engine.jobs_history.attempt is 'Attempts it spent.';
comment on column engine.jobs_history.throttles is 'How often the outside asked it to slow down.';
comment on column engine.jobs_history.denials is 'How often its credential was refused.';
comment on column engine.jobs_history.rescues is 'How often its process died under it.';
comment on column engine.jobs_history.interruptions is 'How often a stopping process handed it back.';
comment on column engine.jobs_history.queue is 'The queue it was in.';
comment on column engine.jobs_history.kind is 'Names the code that ran it.';
comment on column engine.jobs_history.args is 'The typed arguments, as JSON.';
comment on column engine.jobs_history.unique_key is 'The key it held while unfinished.';
comment on column engine.jobs_history.last_error is 'What the last failed attempt said.';

-- Serves the look-up of one job.
create index jobs_history_id on engine.jobs_history (id);

-- The safety net: an ack never fails because nobody made tomorrow's partition.
create table engine.jobs_history_default partition of engine.jobs_history default;

-- Makes the partitions of the next days. Idempotent, and safe when several processes ask at once.
create function engine.make_history_partitions(days_ahead int) returns int
language plpgsql
as $$
declare
    made int := 0;
    from_day date := (engine.now() at time zone 'UTC')::date;
    this_day date;
    its_name text;
begin
    -- A new partition locks the whole history for a moment: better none today than acks that wait.
    perform set_config('lock_timeout', '2s', true);
    perform pg_advisory_xact_lock(hashtext('engine.make_history_partitions'));
    for ahead in 0..days_ahead loop
        this_day := from_day + ahead;
        its_name := 'jobs_history_' || to_char(this_day, 'YYYYMMDD');
        if to_regclass('engine.' || its_name) is null then
            -- A row of that day that has already gone to the safety net would refuse the partition.
            continue when exists (
                select 1 from engine.jobs_history_default
                where finished_at >= this_day::timestamp at time zone 'UTC'
                  and finished_at < (this_day + 1)::timestamp at time zone 'UTC'
            );
            execute format(
                'create table engine.%I partition of engine.jobs_history for values from (%L) to (%L)',
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

comment on function engine.make_history_partitions(int) is 'Makes the history''s partitions from today on, that many days ahead; returns how many were new.';

-- Drops the days that ended before the retention. A day in use is left for the next time.
create function engine.drop_history_partitions(retention interval) returns int
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
        where pg_inherits.inhparent = 'engine.jobs_history'::regclass
          and child.relname ~ '^jobs_history_[0-9]{8}$'
          and (to_date(right(child.relname, 8), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC'
              < engine.now() - retention
        order by child.relname
    loop
        execute format('drop table engine.%I', its_name);
        dropped := dropped + 1;
    end loop;
    delete from engine.jobs_history_default where finished_at < engine.now() - retention;
    return dropped;
end
$$;

comment on function engine.drop_history_partitions(interval) is 'Drops the history''s days that ended longer ago than the retention; returns how many.';

select engine.make_history_partitions(7);
