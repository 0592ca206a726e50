-- Takes away what 0053_duties.up.sql made.

set local lock_timeout = '10s';

drop table duties;
