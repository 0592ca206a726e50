-- Says again what 0055_keep_runs.up.sql found.

comment on column workflow_schedules.execution_history_limit is 'How many runs an importer said to keep; kept as it came.';
