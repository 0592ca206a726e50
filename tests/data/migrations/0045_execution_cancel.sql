-- One that AMC has and somebody wants to be stopped.
update workflow_executions set cancel_requested_at = '2025-10-20T08:05:30Z'
where id = '01900000-0000-7000-8000-000000000094';
