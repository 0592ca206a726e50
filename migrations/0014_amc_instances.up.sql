-- The AMC instances that the engine works on.

create type instance_status as enum (
    'active',   -- in use
    'blocked',  -- Amazon refuses us there; block_reason says why
    'disabled'  -- switched off by a person
);

comment on type instance_status is 'Whether work on an instance may start.';

create table amc_instances (
    id             uuid primary key default gen_random_uuid(),
    instance_id    text not null unique,
    instance_name  text not null,
    account_id     uuid not null references amc_accounts (id) on delete restrict,
    endpoint_url   text,
    status         instance_status not null default 'active',
    block_reason   text,
    last_listed_at timestamptz,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),

    constraint instance_id_is_amcs_not_a_uuid check (instance_id ~ '^[A-Za-z0-9_-]+$' and instance_id !~ '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-'),
    constraint endpoint_url_is_http check (endpoint_url ~ '^https?://'),
    constraint blocked_exactly_with_a_reason check ((status = 'blocked') = (block_reason is not null))
);

comment on table amc_instances is 'AMC instances.';
comment on column amc_instances.id is 'Names the instance here; never sent to Amazon.';
comment on column amc_instances.instance_id is 'AMC''s id of the instance, such as amcibersblt; the only one that Amazon knows.';
comment on column amc_instances.instance_name is 'What to call it on a page.';
comment on column amc_instances.account_id is 'The account that owns it.';
comment on column amc_instances.endpoint_url is 'Where its API answers, when not at the region''s host.';
comment on column amc_instances.status is 'Whether work on it may start.';
comment on column amc_instances.block_reason is 'Why it is blocked, in Amazon''s words.';
comment on column amc_instances.last_listed_at is 'When its executions were last listed, so that one list call serves all who ask.';
comment on column amc_instances.created_at is 'When the row was made.';
comment on column amc_instances.updated_at is 'When the row last changed.';

create index amc_instances_of_account on amc_instances (account_id);

create trigger set_updated_at before update on amc_instances for each row execute function set_updated_at();
