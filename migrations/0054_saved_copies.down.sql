-- Takes away what 0054_saved_copies.up.sql made.

set local lock_timeout = '10s';

drop table saved_copies;

alter table workflows drop column submit_mode;
