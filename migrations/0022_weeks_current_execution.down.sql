-- Opens the circle.

drop index report_data_weeks_by_execution;
alter table report_data_weeks drop constraint report_data_weeks_workflow_execution_id_fkey;
