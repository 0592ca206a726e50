-- The Amazon advertising accounts that own AMC instances.

create type account_status as enum (
    'active',   -- in use
    'disabled'  -- switched off by a person
);

comment on type account_status is 'Whether the engine works for an account.';

create table amc_accounts (
    id             uuid primary key default gen_random_uuid(),
    account_id     text not null unique,
    account_name   text not null,
    marketplace_id text not null,
    region         amc_region not null,
    user_id        uuid not null references users (id) on delete restrict,
    status         account_status not null default 'active',
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),

    constraint account_id_is_not_empty check (account_id <> ''),
    constraint marketplace_id_is_amazons_not_a_country check (marketplace_id ~ '^A[0-9A-Z]{9,}$')
);

comment on table amc_accounts is 'AMC accounts.';
comment on column amc_accounts.id is 'Names the account here.';
comment on column amc_accounts.account_id is 'Amazon''s id of the account, ENTITY…; goes into the header Amazon-Advertising-API-AdvertiserId.';
comment on column amc_accounts.account_name is 'What to call it on a page.';
comment on column amc_accounts.marketplace_id is 'Amazon''s id of the marketplace, such as ATVPDKIKX0DER for the United States.';
comment on column amc_accounts.region is 'Which of Amazon''s hosts answer for it.';
comment on column amc_accounts.user_id is 'The user whose credential reaches it.';
comment on column amc_accounts.status is 'Whether the engine works for it.';
comment on column amc_accounts.created_at is 'When the row was made.';
comment on column amc_accounts.updated_at is 'When the row last changed.';

create index amc_accounts_of_user on amc_accounts (user_id);

create trigger set_updated_at before update on amc_accounts for each row execute function set_updated_at();
