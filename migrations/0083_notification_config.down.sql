-- Takes away what 0083_notification_config.up.sql made.

set local lock_timeout = '10s';

create or replace function tell_webhooks() returns trigger
language plpgsql
as $$
declare
    kind text := webhook_event(new.entity, new.from_status, new.to_status, new.actor);
begin
    if kind is not null then
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

drop function is_kept_quiet(text, text, text);

comment on column workflow_schedules.notification_config is 'Whom to tell what, and how.';
