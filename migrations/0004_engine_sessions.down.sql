-- Takes away the record of processes.

drop table engine.sessions;
