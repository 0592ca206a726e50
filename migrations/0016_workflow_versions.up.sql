-- What a workflow says, word for word. An execution points to a version, so a result knows its query for ever.

create table workflow_versions (
    id               uuid primary key default gen_random_uuid(),
    workflow_id      uuid not null references workflows (id) on delete restrict,
    sql_query        text not null,
    input_parameters jsonb not null default '[]',
    sha256           bytea not null,
    created_at       timestamptz not null default now(),

    constraint workflow_versions_sha256_key unique (workflow_id, sha256),
    constraint sql_query_is_not_empty check (sql_query <> ''),
    constraint input_parameters_is_a_list check (jsonb_typeof(input_parameters) = 'array'),
    constraint sha256_has_32_bytes check (length(sha256) = 32)
);

comment on table workflow_versions is 'The wordings of a workflow. A row never changes.';
comment on column workflow_versions.id is 'Names the version here.';
comment on column workflow_versions.workflow_id is 'The workflow it is a wording of.';
comment on column workflow_versions.sql_query is 'The query.';
comment on column workflow_versions.input_parameters is 'The parameters it declares: a list of {name, dataType, defaultValue, …} as AMC takes it.';
comment on column workflow_versions.sha256 is 'Over the query and the declared parameters: the same wording is the same version.';
comment on column workflow_versions.created_at is 'When the row was made.';

create trigger refuse_update before update on workflow_versions for each row
    when (old.* is distinct from new.*) execute function refuse_change();

alter table workflows add column current_version_id uuid references workflow_versions (id) on delete restrict;

comment on column workflows.current_version_id is 'The version that new executions run; null until one is added.';
