-- How many jobs there are, by queue, kind and state, kept exact by whatever changes a job; and which lanes
-- are to be made.

set local lock_timeout = '10s';

create table engine.job_counts (
    queue   text not null,
    kind    text not null,
    state   engine.job_state not null,
    jobs    bigint not null,
    blocked bigint not null,

    primary key (queue, kind, state)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

comment on table engine.job_counts is 'The counts as they were when the changes were last folded in. Read engine.job_totals.';
comment on column engine.job_counts.queue is 'The queue.';
comment on column engine.job_counts.kind is 'The kind.';
comment on column engine.job_counts.state is 'The state. Jobs that have finished are counted for ever.';
comment on column engine.job_counts.jobs is 'How many.';
comment on column engine.job_counts.blocked is 'How many of them are blocked by a resource.';

-- Written to by many at once, who never wait for each other here.
create table engine.job_count_changes (
    queue   text not null,
    kind    text not null,
    state   engine.job_state not null,
    jobs    bigint not null,
    blocked bigint not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

comment on table engine.job_count_changes is 'What is to be added to the counts.';
comment on column engine.job_count_changes.queue is 'The queue.';
comment on column engine.job_count_changes.kind is 'The kind.';
comment on column engine.job_count_changes.state is 'The state.';
comment on column engine.job_count_changes.jobs is 'How many more, or fewer.';
comment on column engine.job_count_changes.blocked is 'How many more of them are blocked, or fewer.';

-- One statement reads both in one snapshot: exact at every moment.
create view engine.job_totals as
    select queue, kind, state, sum(jobs)::bigint as jobs, sum(blocked)::bigint as blocked
    from (table engine.job_counts union all table engine.job_count_changes) as both_of_them
    group by queue, kind, state
    having sum(jobs) <> 0;

comment on view engine.job_totals is 'How many jobs of a kind are in a state; of the states that end, how many have ever been.';

-- What a statement changes is read once, for the counts and for the lanes that claim has yet to make: it
-- goes from one open lane to the next, and would never come by one that has no row.
create function engine.account_for_jobs() returns trigger
language plpgsql
as $$
begin
    if tg_op = 'INSERT' then
        with came as materialized (
            select
                queue, kind, state, lane, version, share, uses,
                state = 'waiting' and due and blocked_by is null as is_ready,
                count(*) as jobs, count(blocked_by) as blocked
            from come
            group by queue, kind, state, lane, version, share, uses, is_ready
        ),
        counted as (
            insert into engine.job_count_changes
            select queue, kind, state, sum(jobs), sum(blocked) from came group by queue, kind, state
        )
        insert into engine.unmade_lanes (lane, queue, kind, version, share, uses)
        select lane, queue, kind, version, share, uses from came
        where is_ready
          and not exists (select from engine.lanes where lanes.id = came.lane)
          -- A note that is there says all that is needed: the lane is made of it, with or without a job.
          and not exists (select from engine.unmade_lanes as noted where noted.lane = came.lane);
    elsif tg_op = 'UPDATE' then
        with came as materialized (
            select
                queue, kind, state, lane, version, share, uses,
                state = 'waiting' and due and blocked_by is null as is_ready,
                count(*) as jobs, count(blocked_by) as blocked
            from come
            group by queue, kind, state, lane, version, share, uses, is_ready
        ),
        went as (
            select queue, kind, state, count(*) as jobs, count(blocked_by) as blocked
            from gone
            group by queue, kind, state
        ),
        counted as (
            insert into engine.job_count_changes
            select queue, kind, state, sum(jobs), sum(blocked)
            from (
                select queue, kind, state, jobs, blocked from came
                union all
                select queue, kind, state, -jobs, -blocked from went
            ) as changed
            group by queue, kind, state
            having sum(jobs) <> 0 or sum(blocked) <> 0
        )
        insert into engine.unmade_lanes (lane, queue, kind, version, share, uses)
        select lane, queue, kind, version, share, uses from came
        where is_ready
          and not exists (select from engine.lanes where lanes.id = came.lane)
          and not exists (select from engine.unmade_lanes as noted where noted.lane = came.lane);
    elsif tg_op = 'DELETE' then
        insert into engine.job_count_changes
        select queue, kind, state, -count(*), -count(blocked_by) from gone group by queue, kind, state;
    else
        insert into engine.job_count_changes
        select queue, kind, state, -jobs, -blocked from engine.job_totals
        where state in ('waiting', 'running');
    end if;
    return null;
end
$$;

comment on function engine.account_for_jobs() is 'Notes by how much a statement changes the counts, and the lanes of its jobs that claim has yet to make. Nobody waits for anybody here.';

create function engine.account_for_finished_jobs() returns trigger
language plpgsql
as $$
begin
    insert into engine.job_count_changes
    select queue, kind, state, count(*), 0 from come group by queue, kind, state;
    return null;
end
$$;

comment on function engine.account_for_finished_jobs() is 'Notes how many jobs have finished.';

create trigger account_for_new_jobs after insert on engine.jobs
    referencing new table as come for each statement execute function engine.account_for_jobs();
create trigger account_for_changed_jobs after update on engine.jobs
    referencing old table as gone new table as come
    for each statement execute function engine.account_for_jobs();
create trigger account_for_gone_jobs after delete on engine.jobs
    referencing old table as gone for each statement execute function engine.account_for_jobs();
create trigger account_for_no_jobs after truncate on engine.jobs
    for each statement execute function engine.account_for_jobs();
create trigger account_for_finished_jobs after insert on engine.jobs_history
    referencing new table as come
    for each statement execute function engine.account_for_finished_jobs();

insert into engine.job_counts
select queue, kind, state, count(*), count(blocked_by) from engine.jobs group by queue, kind, state;
insert into engine.job_counts
select queue, kind, state, count(*), 0 from engine.jobs_history group by queue, kind, state;

-- One at a time; whoever comes meanwhile has nothing to do.
create function engine.fold_counts() returns bigint
language plpgsql
as $$
declare
    folded bigint;
begin
    if not pg_try_advisory_xact_lock(hashtext('engine.fold_counts')) then
        return 0;
    end if;
    with taken as (
        delete from engine.job_count_changes returning *
    ),
    summed as (
        select queue, kind, state, sum(jobs) as jobs, sum(blocked) as blocked, count(*) as changes
        from taken
        group by queue, kind, state
    ),
    added as (
        insert into engine.job_counts as base (queue, kind, state, jobs, blocked)
        select queue, kind, state, jobs, blocked from summed
        on conflict (queue, kind, state) do update
        set jobs = base.jobs + excluded.jobs, blocked = base.blocked + excluded.blocked
    )
    select coalesce(sum(changes), 0) into folded from summed;
    return folded;
end
$$;

comment on function engine.fold_counts() is 'Adds the noted changes to the counts; returns how many there were.';

-- Serves the question how long the first of them has been due.
create index jobs_due on engine.jobs (queue, kind, run_at)
    where state = 'waiting' and due and blocked_by is null;

-- Serves the sweep: those that have waited long enough for a credential.
create index jobs_overdue on engine.jobs (run_at) where blocked_by is not null;

-- ---- what is partitioned by day: every partitioned table of the engine ----

drop function engine.make_history_partitions(int);
drop function engine.drop_history_partitions(interval);

create function engine.tables_by_day() returns table (its_name name, its_column name)
language sql stable
as $$
    select relname, attname
    from pg_partitioned_table
    join pg_class on pg_class.oid = partrelid
    join pg_attribute on attrelid = partrelid and attnum = partattrs[0]
    where relnamespace = 'engine'::regnamespace
    order by relname
$$;

comment on function engine.tables_by_day() is 'The tables whose days are made and dropped, each with the time that tells the day.';

-- Makes the partitions of the next days. Idempotent, and safe when several processes ask at once.
create function engine.make_days(days_ahead int) returns int
language plpgsql
as $$
declare
    made int := 0;
    from_day date := (engine.now() at time zone 'UTC')::date;
    this_day date;
    by_day record;
    begins timestamptz;
    ends timestamptz;
    day_name text;
begin
    -- A new partition locks the whole table for a moment: better none today than acks that wait.
    perform set_config('lock_timeout', '2s', true);
    perform pg_advisory_xact_lock(hashtext('engine.make_days'));
    for by_day in select * from engine.tables_by_day() loop
        for ahead in 0..days_ahead loop
            this_day := from_day + ahead;
            continue when to_regclass(format('engine.%s_%s', by_day.its_name, to_char(this_day, 'YYYYMMDD')))
                is not null;
            begins := this_day::timestamp at time zone 'UTC';
            ends := (this_day + 1)::timestamp at time zone 'UTC';
            day_name := by_day.its_name || '_' || to_char(this_day, 'YYYYMMDD');
            execute format(
                'create table engine.%I (like engine.%I including defaults including constraints)',
                day_name, by_day.its_name
            );
            -- Rows of that day that have already gone to the safety net would refuse the partition.
            execute format(
                'with strays as (delete from engine.%I where %I >= $1 and %2$I < $2 returning *)
                insert into engine.%I select * from strays',
                by_day.its_name || '_default', by_day.its_column, day_name
            ) using begins, ends;
            execute format(
                'alter table engine.%I attach partition engine.%I for values from (%L) to (%L)',
                by_day.its_name, day_name, begins, ends
            );
            made := made + 1;
        end loop;
    end loop;
    return made;
end
$$;

comment on function engine.make_days(int) is 'Makes the partitions of every table by day from today on, that many days ahead; returns how many were new.';

-- Drops the days that ended before the retention. A day in use is left for the next time.
create function engine.drop_days(retention interval) returns int
language plpgsql
as $$
declare
    dropped int := 0;
    by_day record;
    its_name text;
begin
    perform set_config('lock_timeout', '2s', true);
    for by_day in select * from engine.tables_by_day() loop
        for its_name in
            select child.relname
            from pg_inherits
            join pg_class child on child.oid = pg_inherits.inhrelid
            where pg_inherits.inhparent = format('engine.%I', by_day.its_name)::regclass
              and child.relname ~ '_[0-9]{8}$'
              and (to_date(right(child.relname, 8), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC'
                  < engine.now() - retention
            order by child.relname
        loop
            execute format('drop table engine.%I', its_name);
            dropped := dropped + 1;
        end loop;
        execute format(
            'delete from engine.%I where %I < engine.now() - $1',
            by_day.its_name || '_default', by_day.its_column
        ) using retention;
    end loop;
    return dropped;
end
$$;

comment on function engine.drop_days(interval) is 'Drops the days of every table by day that ended longer ago than the retention; returns how many.';

select engine.make_days(7);
