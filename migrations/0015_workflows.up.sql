-- The reports: a name for a query. What the query says is in workflow_versions.

create type workflow_sync_status as enum (
    'not_synced',  -- AMC has never been given it
    'syncing',     -- being given to AMC
    'synced',      -- AMC has the version of amc_definition_hash
    'sync_failed'  -- AMC refused it
);

comment on type workflow_sync_status is 'Whether AMC keeps a saved copy of a workflow.';

create table workflows (
    id                  uuid primary key default gen_random_uuid(),
    workflow_id         text not null unique,
    name                text not null,
    description         text,
    instance_id         uuid not null references amc_instances (id) on delete restrict,
    user_id             uuid not null references users (id) on delete restrict,
    tags                text[] not null default '{}',
    amc_workflow_id     text,
    amc_sync_status     workflow_sync_status not null default 'not_synced',
    amc_synced_at       timestamptz,
    amc_definition_hash bytea,
    archived_at         timestamptz,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),

    constraint workflows_amc_workflow_id_key unique (instance_id, amc_workflow_id),
    constraint amc_workflow_id_is_acceptable check (amc_workflow_id ~ '^[A-Za-z0-9._-]+$'),
    constraint synced_has_a_name_and_a_time check (
        amc_sync_status <> 'synced'
        or (amc_workflow_id is not null and amc_synced_at is not null and amc_definition_hash is not null)
    )
);

comment on table workflows is 'Workflows: queries with a name.';
comment on column workflows.id is 'Names the workflow here.';
comment on column workflows.workflow_id is 'Names the workflow for people and programs.';
comment on column workflows.name is 'What to call it on a page.';
comment on column workflows.description is 'What it answers.';
comment on column workflows.instance_id is 'The instance it is meant for; an execution may run it on another.';
comment on column workflows.user_id is 'Whose it is.';
comment on column workflows.tags is 'Words to find it by.';
comment on column workflows.amc_workflow_id is 'The name AMC keeps its saved copy under; null while there is none.';
comment on column workflows.amc_sync_status is 'Whether AMC keeps a saved copy.';
comment on column workflows.amc_synced_at is 'When AMC last took a copy.';
comment on column workflows.amc_definition_hash is 'The sha256 of the version AMC last took.';
comment on column workflows.archived_at is 'When a person put it away; null while it is in use.';
comment on column workflows.created_at is 'When the row was made.';
comment on column workflows.updated_at is 'When the row last changed.';

create index workflows_of_user on workflows (user_id);

create trigger set_updated_at before update on workflows for each row execute function set_updated_at();
