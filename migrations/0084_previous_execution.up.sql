-- Executions that are old are deleted without a look at every week.

set local lock_timeout = '10s';

-- Serves the foreign key when an execution is deleted. Few weeks are collected again.
create index report_data_weeks_by_previous_execution on report_data_weeks (previous_execution_id)
    where previous_execution_id is not null;
