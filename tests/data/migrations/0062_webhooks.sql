-- A webhook that was told once in vain, and something of which it is told by itself.
insert into webhooks (id, url, secret_encrypted, format, events) values
    ('01900000-0000-7000-8000-0000000000a1', 'https://hooks.example.com/amc', 'gAAAAABnwebhook', 'standard', '{auto_paused,needs_reauth}');
insert into events (at, entity, entity_id, from_status, to_status, actor, reason) values
    ('2025-11-24T10:00:00Z', 'user', 'ada', 'active', 'needs_reauth', 'engine', 'invalid_grant');
insert into webhook_attempts (delivery_id, attempt, at, status, duration_ms, error)
select id, 1, '2025-11-24T10:00:05Z', 503, 12, 'it answered 503' from webhook_deliveries;
