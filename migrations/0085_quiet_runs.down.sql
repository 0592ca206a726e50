-- Takes away what 0085_quiet_runs.up.sql made.

set local lock_timeout = '10s';

create or replace function is_kept_quiet(entity text, entity_id text, kind text) returns boolean
language sql stable
as $$
    select coalesce(bool_or(not notification_config -> 'events' ? kind), false)
    from workflow_schedules as schedule
    where jsonb_typeof(notification_config -> 'events') = 'array'
      and case entity
          when 'schedule' then schedule_id = entity_id
          when 'schedule_run' then id = (
              select run.schedule_id from schedule_runs as run where run.id::text = entity_id
          )
          else false
      end
$$;
