-- Takes away the instances.

drop table amc_instances;
drop type instance_status;
