-- An instance that was asked twice, and a user whose instances were synced.
update amc_instances set probes = 2 where status = 'blocked';
update lwa_credentials set instances_synced_at = '2025-11-24T09:00:00Z';
