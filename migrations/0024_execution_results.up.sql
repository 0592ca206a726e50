-- What came back: counted, checked and stored. The whole file lies beside the database, its beginning here.

create table execution_results (
    execution_id      uuid primary key references workflow_executions (id) on delete restrict,
    columns           jsonb not null,
    schema_sha256     bytea not null,
    row_count         bigint not null,
    byte_count        bigint not null,
    file_count        bigint not null,
    content_sha256    bytea not null,
    storage_uri       text,
    rows              jsonb,
    truncated         boolean not null default false,
    suppressed_values bigint not null default 0,
    quarantined_rows  bigint not null default 0,
    lossy_values      bigint not null default 0,
    nul_values        bigint not null default 0,
    unreadable_values bigint not null default 0,
    fetched_at        timestamptz not null,
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now(),

    constraint columns_is_a_list check (jsonb_typeof(columns) = 'array'),
    constraint rows_is_a_list check (jsonb_typeof(rows) = 'array'),
    constraint schema_sha256_has_32_bytes check (length(schema_sha256) = 32),
    constraint content_sha256_has_32_bytes check (length(content_sha256) = 32),
    constraint counts_are_not_negative check (
        row_count >= 0 and byte_count >= 0 and file_count >= 0
        and suppressed_values >= 0 and quarantined_rows >= 0
        and lossy_values >= 0 and nul_values >= 0 and unreadable_values >= 0
    ),
    -- What the database has only in part must be whole somewhere else.
    constraint truncated_is_stored_elsewhere check (not truncated or storage_uri is not null)
);

comment on table execution_results is 'The result of an execution that succeeded.';
comment on column execution_results.execution_id is 'The execution it is the result of.';
comment on column execution_results.columns is 'Its columns: a list of {name, type}.';
comment on column execution_results.schema_sha256 is 'The sha256 of the columns'' names and types.';
comment on column execution_results.row_count is 'How many rows it has, all files together.';
comment on column execution_results.byte_count is 'How many bytes the files had.';
comment on column execution_results.file_count is 'How many files there were.';
comment on column execution_results.content_sha256 is 'The sha256 of the rows.';
comment on column execution_results.storage_uri is 'Where the whole result lies; null when only the database has it.';
comment on column execution_results.rows is 'The rows, or the first of them; null when none are kept here.';
comment on column execution_results.truncated is 'Whether rows has fewer than row_count.';
comment on column execution_results.suppressed_values is 'How many values AMC left blank for privacy.';
comment on column execution_results.quarantined_rows is 'How many lines could not be read as rows.';
comment on column execution_results.lossy_values is 'How many values were not UTF-8 and lost characters.';
comment on column execution_results.nul_values is 'How many values lost NUL characters, which Postgres cannot keep.';
comment on column execution_results.unreadable_values is 'How many values of additive columns are no numbers, and so in no sum.';
comment on column execution_results.fetched_at is 'When it was stored.';
comment on column execution_results.created_at is 'When the row was made.';
comment on column execution_results.updated_at is 'When the row last changed.';

create trigger set_updated_at before update on execution_results for each row execute function set_updated_at();
