-- One whose address is kept encrypted; the one before has lost its own, and says what to do.
insert into webhooks (id, url, secret_encrypted, format, events) values
    ('01900000-0000-7000-8000-0000000000a3', 'https://hooks.slack.example/', 'gAAAAABnwslack', 'slack', '{resumed}');
-- One that wants to be told everything.
insert into webhooks (id, url, secret_encrypted, format, events) values
    ('01900000-0000-7000-8000-0000000000a4', 'https://hooks.example.com/all', 'gAAAAABnwebhook', 'standard',
     '{auto_paused,resumed,collection_finished,collection_failed,needs_reauth,run_failed,instance_blocked}');

do $$
begin
    assert (
        select count(*) = 1
        from webhooks
        where url = 'https://hooks.slack.example/' and state = 'disabled' and why like '%anew'
    );
end
$$;

-- A workflow whose query AMC is to keep.
update workflows set submit_mode = 'saved' where id = (select max(workflow_id::text)::uuid from workflow_versions);
