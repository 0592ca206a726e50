-- Takes away the counts, and makes the days of the history alone again.

set local lock_timeout = '10s';

drop function engine.drop_days(interval);
drop function engine.make_days(int);
drop function engine.tables_by_day();
drop index engine.jobs_overdue;
drop index engine.jobs_due;
drop function engine.fold_counts();
drop trigger account_for_finished_jobs on engine.jobs_history;
drop trigger account_for_no_jobs on engine.jobs;
drop trigger account_for_gone_jobs on engine.jobs;
drop trigger account_for_changed_jobs on engine.jobs;
drop trigger account_for_new_jobs on engine.jobs;
drop function engine.account_for_finished_jobs();
drop function engine.account_for_jobs();
drop view engine.job_totals;
drop table engine.job_count_changes;
drop table engine.job_counts;

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
