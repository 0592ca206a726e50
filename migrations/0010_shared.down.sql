-- Takes away what the tables of the domain share.

drop type amc_region;
drop function refuse_change();
drop function set_updated_at();
