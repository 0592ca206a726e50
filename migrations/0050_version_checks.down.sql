-- Takes away what 0050_version_checks.up.sql made.

set local lock_timeout = '10s';

drop table version_checks;
drop type check_verdict;
