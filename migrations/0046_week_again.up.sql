-- A week is collected again because AMC restates its data: its rows stay until the new ones are stored.

set local lock_timeout = '10s';

alter table report_data_weeks
    add column previous_execution_id uuid references workflow_executions (id) on delete restrict,
    add column last_checked_at timestamptz,
    drop constraint succeeded_exactly_with_data,
    add constraint has_data_exactly_when_succeeded_or_again check (
        (status = 'succeeded' or previous_execution_id is not null) = (
            row_count is not null and data_checksum is not null
            and schema_checksum is not null and metrics is not null and workflow_execution_id is not null
        )
    ),
    add constraint again_only_until_it_ends
        check (previous_execution_id is null or status in ('pending', 'running', 'blocked'));

comment on column report_data_weeks.previous_execution_id is 'While it is collected again: the execution whose rows it still has; null otherwise.';
comment on column report_data_weeks.last_checked_at is 'When it was last collected again, whether AMC had restated its data or not; null when it never was.';
