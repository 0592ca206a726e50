-- An execution that is stuck, and whoever wanted everything before is told of it.
insert into events (at, entity, entity_id, from_status, to_status, actor, reason) values
    ('2025-11-25T10:00:00Z', 'execution', 'e-1', 'submit_unknown', 'stuck', 'tend_executions', 'it hangs');

do $$
begin
    assert (
        select count(*) = 1
        from webhook_deliveries
        where event = 'stuck' and webhook_id = '01900000-0000-7000-8000-0000000000a4'
    );
end
$$;
