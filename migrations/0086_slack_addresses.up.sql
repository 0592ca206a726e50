-- The address of a Slack webhook is a secret: whoever has it can write into the channel.

set local lock_timeout = '10s';

-- What was kept in clear cannot be encrypted here, where no key is: it goes, and says what to do.
update webhooks
set url = substring(url from '^https?://[^/?#]+') || '/',
    state = 'disabled',
    why = coalesce(why, 'its address is kept encrypted from now on: remove it and add it anew')
where format = 'slack';

alter table webhooks add constraint no_slack_address_is_in_clear
    check (format <> 'slack' or url ~ '^https?://[^/?#]+/$') not valid;

alter table webhooks validate constraint no_slack_address_is_in_clear;

comment on column webhooks.url is
    'Where it is told, by POST; of a Slack webhook, whose address is its secret, only the host.';
comment on column webhooks.secret_encrypted is
    'Encrypted with Fernet: what signs, which begins with whsec_ in clear; of a Slack webhook its address.';
