-- A schedule says of which of its events webhooks are told.

set local lock_timeout = '10s';

comment on column workflow_schedules.notification_config is 'Of which of its events webhooks are told, {"events": ["run_failed"]}; null for all that a webhook wants.';

-- What a schedule wants nobody to be told of.
create function is_kept_quiet(entity text, entity_id text, kind text) returns boolean
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

comment on function is_kept_quiet(text, text, text) is 'Whether the schedule that an event is about wants nobody to be told of events of this kind.';

create or replace function tell_webhooks() returns trigger
language plpgsql
as $$
declare
    kind text := webhook_event(new.entity, new.from_status, new.to_status, new.actor);
begin
    if kind is not null and not is_kept_quiet(new.entity, new.entity_id, kind) then
        insert into webhook_deliveries (webhook_id, event, at, data)
        select id, kind, new.at, jsonb_build_object(
            'event_id', new.id,
            'entity', new.entity,
            'entity_id', new.entity_id,
            'from', new.from_status,
            'to', new.to_status,
            'actor', new.actor,
            'reason', new.reason,
            'detail', new.detail
        )
        from webhooks
        where state = 'active' and kind = any(events);
    end if;
    return null;
end
$$;
