-- Takes the claim away.

set local lock_timeout = '10s';

drop function engine.claim(bigint, text, smallint[], int[], bigint[], int[], int, text[], smallint[]);
drop function engine.is_waited_for(engine.lanes, text[], smallint[]);
drop function engine.next_lane(text, smallint, bigint, text[], smallint[]);
drop index engine.lanes_offered;
drop index engine.lanes_open;

alter table engine.resources reset (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
