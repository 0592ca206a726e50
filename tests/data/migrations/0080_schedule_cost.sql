-- A schedule that was imported with its limit.
update workflow_schedules set cost_limit = 25.00 where id = '01900000-0000-7000-8000-000000000055';
