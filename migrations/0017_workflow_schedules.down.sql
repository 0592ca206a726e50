-- Takes away the schedules.

drop table workflow_schedules;
drop type catch_up;
drop type window_anchor;
drop type schedule_status;
drop type schedule_type;
