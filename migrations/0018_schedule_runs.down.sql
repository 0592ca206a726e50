-- Takes away the runs of schedules.

drop table schedule_runs;
drop type run_status;
drop type run_kind;
