-- Takes away what 0082_unfinished_executions.up.sql made.

set local lock_timeout = '10s';

drop index workflow_executions_unfinished;
