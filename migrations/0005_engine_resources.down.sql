-- Takes away resources and holds.

drop table engine.holds;
drop table engine.resources;
