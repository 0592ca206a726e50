-- A resource with one holder.

insert into engine.resources (name, max_holds, held) values ('amc_instance:demo', 10, 1);
insert into engine.holds (resource, holder, job_id, taken_at)
values ('amc_instance:demo', 'execution:1', 1, engine.now());
