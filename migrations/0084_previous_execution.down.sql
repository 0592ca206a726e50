-- Takes away what 0084_previous_execution.up.sql made.

set local lock_timeout = '10s';

drop index report_data_weeks_by_previous_execution;
