-- Whether somebody wants to be told of a run is found without a look at every run.

set local lock_timeout = '10s';

-- In branches, because only the id of a run is a uuid; and whatever it is, the event is to be written.
create or replace function is_kept_quiet(entity text, entity_id text, kind text) returns boolean
language plpgsql stable
as $$
declare
    told jsonb;
begin
    if entity = 'schedule' then
        select notification_config -> 'events' into told
        from workflow_schedules as schedule
        where schedule.schedule_id = is_kept_quiet.entity_id;
    elsif entity = 'schedule_run' and entity_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        select notification_config -> 'events' into told
        from schedule_runs as run
        join workflow_schedules as schedule on schedule.id = run.schedule_id
        where run.id = is_kept_quiet.entity_id::uuid;
    end if;
    return coalesce(jsonb_typeof(told) = 'array' and not told ? kind, false);
end
$$;
