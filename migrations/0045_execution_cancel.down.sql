-- Takes away what 0045_execution_cancel.up.sql made.

set local lock_timeout = '10s';

drop index workflow_executions_to_cancel;

alter table workflow_executions drop column cancel_requested_at;
