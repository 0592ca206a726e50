-- Takes away what 0061_instance_health.up.sql made.

set local lock_timeout = '10s';

alter table lwa_credentials drop column instances_synced_at;

drop index amc_instances_to_probe;

alter table amc_instances
    drop constraint probes_is_not_negative,
    drop column is_listed,
    drop column probes,
    drop column next_probe_at;
