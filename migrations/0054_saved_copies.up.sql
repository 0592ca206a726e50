-- Versions of workflows that AMC keeps a copy of, each under a name of its own: two versions in use at the
-- same time never overwrite each other.

set local lock_timeout = '10s';

alter table workflows add column submit_mode submit_mode not null default 'inline';

comment on column workflows.submit_mode is 'How its query reaches AMC from now on.';

create table saved_copies (
    workflow_version_id uuid not null references workflow_versions (id) on delete restrict,
    instance_id         uuid not null references amc_instances (id) on delete restrict,
    amc_workflow_id     text not null,
    status              workflow_sync_status not null default 'syncing',
    reason              text,
    asked_at            timestamptz not null,
    synced_at           timestamptz,

    primary key (workflow_version_id, instance_id),
    constraint saved_copies_name_key unique (instance_id, amc_workflow_id),
    constraint amc_workflow_id_is_acceptable check (amc_workflow_id ~ '^[A-Za-z0-9._-]+$'),
    constraint a_copy_is_asked_for check (status <> 'not_synced'),
    constraint synced_exactly_with_a_time check ((status = 'synced') = (synced_at is not null)),
    constraint failed_exactly_with_a_reason check ((status = 'sync_failed') = (reason is not null))
);

comment on table saved_copies is 'The copies that AMC keeps of versions.';
comment on column saved_copies.workflow_version_id is 'The version.';
comment on column saved_copies.instance_id is 'Where it is kept.';
comment on column saved_copies.amc_workflow_id is 'The name AMC keeps it under: it tells the version.';
comment on column saved_copies.status is 'Whether AMC has it.';
comment on column saved_copies.reason is 'Why AMC refused it.';
comment on column saved_copies.asked_at is 'When somebody first needed it.';
comment on column saved_copies.synced_at is 'When AMC took it.';
