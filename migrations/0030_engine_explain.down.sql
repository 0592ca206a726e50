-- Takes away what explain needs to know.

set local lock_timeout = '10s';

drop index engine.events_by_what;

alter table engine.sessions
    drop column queues,
    drop column kinds;
