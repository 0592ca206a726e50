-- Takes away what claim leaps by.

set local lock_timeout = '10s';

drop function engine.forget_lanes(interval);
drop function engine.note_missing_lanes();
drop function engine.next_lane(text, smallint, bigint, text[], smallint[]);
drop function engine.make_noted_lanes(int);
drop trigger unmade_lanes_of_changed_jobs on engine.jobs;
drop trigger unmade_lanes_of_new_jobs on engine.jobs;
drop function engine.note_unmade_lanes();
drop table engine.unmade_lanes;
drop index engine.lanes_open;

alter table engine.resources reset (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
alter table engine.lanes
    drop column idle_since,
    reset (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
