-- Takes away the executions.

drop table workflow_executions;
drop type submit_mode;
drop type execution_origin;
drop type execution_status;
