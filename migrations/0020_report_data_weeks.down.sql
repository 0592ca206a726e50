-- Takes away the weeks.

drop table report_data_weeks;
drop type week_status;
