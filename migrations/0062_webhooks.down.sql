-- Takes away what 0062_webhooks.up.sql made.

set local lock_timeout = '10s';

drop trigger tell_webhooks on events;
drop function tell_webhooks();
drop function webhook_event(text, text, text, text);
drop table webhook_attempts;
drop table webhook_deliveries;
drop type delivery_state;
drop table webhooks;
drop type webhook_state;
drop type webhook_format;
