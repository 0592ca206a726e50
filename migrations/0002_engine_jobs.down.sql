-- Takes away the unfinished jobs.

drop table engine.jobs;
drop type engine.job_state;
