-- Takes away the workflows.

drop table workflows;
drop type workflow_sync_status;
