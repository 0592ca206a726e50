-- What Login with Amazon gave us for each user. No plain token is ever in here.

create type token_state as enum (
    'active',          -- refreshed when it is about to expire
    'needs_reauth',    -- Amazon refused the refresh token; the user has to log in again
    'client_invalid'   -- Amazon refused the installation's own client id or secret
);

comment on type token_state is 'Whether a user''s refresh token still works, and who has to act when it does not.';

create table lwa_credentials (
    user_id                 uuid primary key references users (id) on delete restrict,
    region                  amc_region not null,
    lwa_client_id           text,
    refresh_token_encrypted text not null,
    access_token_encrypted  text,
    access_token_expires_at timestamptz,
    token_generation        bigint not null default 0,
    token_state             token_state not null default 'active',
    token_error             text,
    token_refreshed_at      timestamptz,
    created_at              timestamptz not null default now(),
    updated_at              timestamptz not null default now(),

    -- Every Fernet token begins like this, and none of Amazon's does.
    constraint refresh_token_is_encrypted check (refresh_token_encrypted ~ '^gAAAA'),
    constraint access_token_is_encrypted check (access_token_encrypted ~ '^gAAAA'),
    constraint access_token_has_an_expiry
        check ((access_token_encrypted is null) = (access_token_expires_at is null)),
    constraint trouble_has_an_error check (token_state = 'active' or token_error is not null)
);

comment on table lwa_credentials is 'One Login with Amazon credential per user, encrypted with Fernet.';
comment on column lwa_credentials.user_id is 'Whose it is.';
comment on column lwa_credentials.region is 'Which token host refreshes it.';
comment on column lwa_credentials.lwa_client_id is 'The client id that the user gave access to; null for the installation''s own.';
comment on column lwa_credentials.refresh_token_encrypted is 'The refresh token, encrypted. It lives until the user withdraws it.';
comment on column lwa_credentials.access_token_encrypted is 'The access token, encrypted; null until the first refresh.';
comment on column lwa_credentials.access_token_expires_at is 'When the access token ends, by the store''s clock.';
comment on column lwa_credentials.token_generation is 'Raised by every new token. A write that expects an older generation is refused.';
comment on column lwa_credentials.token_state is 'Whether it works, and who has to act when it does not.';
comment on column lwa_credentials.token_error is 'What Amazon said when it stopped working.';
comment on column lwa_credentials.token_refreshed_at is 'When the last refresh succeeded.';
comment on column lwa_credentials.created_at is 'When the row was made.';
comment on column lwa_credentials.updated_at is 'When the row last changed.';

-- Serves the search for tokens about to expire.
create index lwa_credentials_expiring on lwa_credentials (access_token_expires_at) where token_state = 'active';

create trigger set_updated_at before update on lwa_credentials for each row execute function set_updated_at();
