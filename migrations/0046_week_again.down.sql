-- Takes away what 0046_week_again.up.sql made. What is being collected again has succeeded before.

set local lock_timeout = '10s';

alter table report_data_weeks drop constraint again_only_until_it_ends;

update report_data_weeks
set status = 'succeeded',
    workflow_execution_id = previous_execution_id,
    previous_execution_id = null,
    completed_at = coalesce(last_checked_at, updated_at)
where previous_execution_id is not null;

alter table report_data_weeks
    drop constraint has_data_exactly_when_succeeded_or_again,
    drop column last_checked_at,
    drop column previous_execution_id,
    add constraint succeeded_exactly_with_data check (
        (status = 'succeeded') = (
            row_count is not null and data_checksum is not null
            and schema_checksum is not null and metrics is not null and workflow_execution_id is not null
        )
    );
