-- Runs of a schedule that keeps all of them are kept for so long, no longer for ever.

comment on column workflow_schedules.execution_history_limit is
    'How many runs that have ended are kept, with their results; null for all that are younger than RECOMAMP_RUN_RETENTION.';
