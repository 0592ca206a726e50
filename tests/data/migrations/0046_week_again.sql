-- A week that is asked again, and keeps its rows until the answer is stored.
update report_data_weeks
set status = 'running', previous_execution_id = workflow_execution_id, completed_at = null, last_checked_at = '2025-10-27T08:00:00Z'
where id = '01900000-0000-7000-8000-000000000085';
