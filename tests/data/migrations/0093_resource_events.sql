-- A host that was down for long and is back, of which whoever wanted everything is told twice.
insert into events (at, entity, entity_id, from_status, to_status, actor, reason) values
    ('2025-11-25T11:00:00Z', 'resource', 'host:advertising-api.amazon.com', 'active', 'auto_paused', 'engine', 'it fails'),
    ('2025-11-25T12:00:00Z', 'resource', 'host:advertising-api.amazon.com', 'auto_paused', 'active', 'engine', 'it answers');

do $$
begin
    assert (
        select string_agg(event, ' ' order by at) = 'auto_paused resumed'
        from webhook_deliveries
        where data ->> 'entity' = 'resource' and webhook_id = '01900000-0000-7000-8000-0000000000a4'
    );
end
$$;
