-- How many runs a schedule keeps is no longer only what an importer said.

comment on column workflow_schedules.execution_history_limit is 'How many runs that have ended are kept, with their results; null for all.';
