-- Takes away what 0086_slack_addresses.up.sql made. The addresses that it took away do not come back.

set local lock_timeout = '10s';

alter table webhooks drop constraint no_slack_address_is_in_clear;

comment on column webhooks.url is 'Where it is told, by POST.';
comment on column webhooks.secret_encrypted is 'What signs, encrypted with Fernet; in clear it begins with whsec_.';
