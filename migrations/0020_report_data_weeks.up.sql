-- The slices of a collection. A week is done when its rows are stored, not when it was submitted.

create type week_status as enum (
    'pending',    -- nothing has begun
    'running',    -- an execution is under way, or the next attempt is waiting
    'succeeded',  -- its rows are stored, counted and summed
    'failed',     -- its attempts are spent, or it is hopeless
    'skipped',    -- the rules said not to collect it
    'blocked',    -- Amazon refuses us on its instance; goes on when the instance is unblocked
    'cancelled'   -- stopped by a person
);

comment on type week_status is 'Where a week stands.';

create table report_data_weeks (
    id                    uuid primary key default gen_random_uuid(),
    collection_id         uuid not null references report_data_collections (id) on delete restrict,
    week_start_date       date not null,
    week_end_date         date not null,
    slice_key             bytea not null,
    status                week_status not null default 'pending',
    workflow_execution_id uuid,
    attempts              int not null default 0,
    row_count             bigint,
    data_checksum         bytea,
    schema_checksum       bytea,
    metrics               jsonb,
    data_version          int not null default 0,
    error_message         text,
    started_at            timestamptz,
    completed_at          timestamptz,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),

    constraint report_data_weeks_week_start_date_key unique (collection_id, week_start_date),
    constraint week_is_not_empty check (week_end_date > week_start_date),
    constraint slice_key_has_32_bytes check (length(slice_key) = 32),
    constraint attempts_is_not_negative check (attempts >= 0),
    constraint succeeded_exactly_with_data check (
        (status = 'succeeded') = (
            row_count is not null and data_checksum is not null
            and schema_checksum is not null and metrics is not null and workflow_execution_id is not null
        )
    ),
    constraint completed_exactly_when_final
        check ((status in ('pending', 'running', 'blocked')) = (completed_at is null)),
    constraint trouble_has_a_message
        check (status not in ('failed', 'skipped', 'blocked') or error_message is not null)
);

comment on table report_data_weeks is 'Weeks: the slices of a collection, whatever their length.';
comment on column report_data_weeks.id is 'Names the week here.';
comment on column report_data_weeks.collection_id is 'The collection it is a slice of.';
comment on column report_data_weeks.week_start_date is 'Its first day, in the collection''s zone.';
comment on column report_data_weeks.week_end_date is 'The first day after it: exclusive.';
comment on column report_data_weeks.slice_key is 'Over AMC''s instance, the query, its parameters, the days and the zone: two weeks with one key ask the same question.';
comment on column report_data_weeks.status is 'Where it stands.';
comment on column report_data_weeks.workflow_execution_id is 'Its current execution; the earlier ones point here from their side.';
comment on column report_data_weeks.attempts is 'How many executions it has had.';
comment on column report_data_weeks.row_count is 'Rows in its result; 0 is a success.';
comment on column report_data_weeks.data_checksum is 'The sha256 of its rows.';
comment on column report_data_weeks.schema_checksum is 'The sha256 of its columns'' names and types; a change is drift.';
comment on column report_data_weeks.metrics is 'Its additive sums, {name: decimal as text}; ratios are derived from these when asked for.';
comment on column report_data_weeks.data_version is 'Raised each time its rows are stored anew.';
comment on column report_data_weeks.error_message is 'Why it failed, was skipped or is blocked, or what the last attempt said.';
comment on column report_data_weeks.started_at is 'When its first attempt began.';
comment on column report_data_weeks.completed_at is 'When it ended.';
comment on column report_data_weeks.created_at is 'When the row was made.';
comment on column report_data_weeks.updated_at is 'When the row last changed.';

-- Serves the question whether a collection is done.
create index report_data_weeks_unfinished on report_data_weeks (collection_id)
    where status in ('pending', 'running', 'blocked');
-- Two collections never run the same slice at the same time.
create unique index report_data_weeks_slice_running on report_data_weeks (slice_key) where status = 'running';
-- Serves the search for a slice that another collection has, or is about to have.
create index report_data_weeks_slice on report_data_weeks (slice_key) where status in ('running', 'succeeded');

create trigger set_updated_at before update on report_data_weeks for each row execute function set_updated_at();
