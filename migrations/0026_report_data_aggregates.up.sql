-- What the weeks of a collection come to, by week, month and quarter.

create type aggregate_grain as enum (
    'week',    -- one week
    'month',   -- a month of the calendar
    'quarter'  -- a quarter of the calendar
);

comment on type aggregate_grain is 'How long an aggregate''s period is.';

create table report_data_aggregates (
    id                 uuid primary key default gen_random_uuid(),
    workflow_id        uuid not null references workflows (id) on delete restrict,
    instance_id        uuid not null references amc_instances (id) on delete restrict,
    collection_id      uuid not null references report_data_collections (id) on delete restrict,
    grain              aggregate_grain not null,
    period_start       date not null,
    period_end         date not null,
    metrics            jsonb not null,
    derived            jsonb not null,
    row_count          bigint not null,
    source_week_count  bigint not null,
    missing_week_count bigint not null,
    source_digest      bytea not null,
    computed_at        timestamptz not null,
    created_at         timestamptz not null default now(),
    updated_at         timestamptz not null default now(),

    constraint report_data_aggregates_period_start_key unique (collection_id, grain, period_start),
    constraint period_is_not_empty check (period_end > period_start),
    constraint metrics_is_an_object check (jsonb_typeof(metrics) = 'object'),
    constraint derived_is_an_object check (jsonb_typeof(derived) = 'object'),
    constraint counts_are_not_negative
        check (row_count >= 0 and source_week_count >= 0 and missing_week_count >= 0),
    constraint source_digest_has_32_bytes check (length(source_digest) = 32)
);

comment on table report_data_aggregates is 'Sums over the weeks of a collection, and the ratios derived from them.';
comment on column report_data_aggregates.id is 'Names the aggregate here.';
comment on column report_data_aggregates.workflow_id is 'The workflow whose results these are.';
comment on column report_data_aggregates.instance_id is 'The instance they came from.';
comment on column report_data_aggregates.collection_id is 'The collection whose weeks were summed.';
comment on column report_data_aggregates.grain is 'How long the period is.';
comment on column report_data_aggregates.period_start is 'The first day of the period.';
comment on column report_data_aggregates.period_end is 'The first day after the period: exclusive.';
comment on column report_data_aggregates.metrics is 'The additive sums, {name: decimal as text}.';
comment on column report_data_aggregates.derived is 'The ratios of those sums, {name: decimal as text}; null where the denominator is zero.';
comment on column report_data_aggregates.row_count is 'How many rows the weeks had together.';
comment on column report_data_aggregates.source_week_count is 'How many weeks were summed.';
comment on column report_data_aggregates.missing_week_count is 'How many weeks of the period have no data.';
comment on column report_data_aggregates.source_digest is 'The sha256 over the weeks'' checksums and the rules applied; the same digest is the same aggregate.';
comment on column report_data_aggregates.computed_at is 'When it was last computed to something new.';
comment on column report_data_aggregates.created_at is 'When the row was made.';
comment on column report_data_aggregates.updated_at is 'When the row last changed.';

create index report_data_aggregates_of_workflow on report_data_aggregates (workflow_id, instance_id, grain, period_start);

create trigger set_updated_at before update on report_data_aggregates for each row execute function set_updated_at();
