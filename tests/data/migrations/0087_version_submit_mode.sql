-- A wording that is there in both ways, and one that was said to be saved by its workflow.
insert into workflow_versions (id, workflow_id, sql_query, input_parameters, sha256, submit_mode)
select gen_random_uuid(), workflow_id, sql_query, input_parameters, sha256, 'saved'
from workflow_versions
where submit_mode = 'inline'
order by created_at, id
limit 1;

do $$
begin
    assert (select count(*) > 0 from workflow_versions where submit_mode = 'saved');
end
$$;
