-- One that keeps a month of daily runs.
update workflow_schedules set execution_history_limit = 30 where id = '01900000-0000-7000-8000-000000000055';
