-- Says again what 0094_run_retention.up.sql found.

comment on column workflow_schedules.execution_history_limit is 'How many runs that have ended are kept, with their results; null for all.';
