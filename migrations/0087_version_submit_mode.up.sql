-- How a query reaches AMC belongs to its version: whoever began with one goes on with it in the same way.

set local lock_timeout = '10s';

alter table workflow_versions add column submit_mode submit_mode not null default 'inline';

comment on column workflow_versions.submit_mode is
    'How the query reaches AMC. The same wording sent in another way is another version.';

-- A row never changes, but for what was said elsewhere until now.
alter table workflow_versions disable trigger refuse_update;

update workflow_versions
set submit_mode = workflows.submit_mode
from workflows
where workflows.id = workflow_versions.workflow_id
  and workflows.submit_mode <> 'inline';

alter table workflow_versions enable trigger refuse_update;

alter table workflow_versions drop constraint workflow_versions_sha256_key;
alter table workflow_versions
    add constraint workflow_versions_wording_key unique (workflow_id, sha256, submit_mode);

alter table workflows drop column submit_mode;
