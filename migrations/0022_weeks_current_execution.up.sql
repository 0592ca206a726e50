-- Closes the circle: a week's current execution exists.

alter table report_data_weeks
    add constraint report_data_weeks_workflow_execution_id_fkey
    foreign key (workflow_execution_id) references workflow_executions (id) on delete restrict;

-- Serves the way from an execution to the weeks that use its rows.
create index report_data_weeks_by_execution on report_data_weeks (workflow_execution_id)
    where workflow_execution_id is not null;
