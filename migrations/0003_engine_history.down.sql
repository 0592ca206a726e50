-- Takes away the finished jobs.

drop function engine.drop_history_partitions(interval);
drop function engine.make_history_partitions(int);
drop table engine.jobs_history;
