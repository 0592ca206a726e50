-- Takes away what 0087_version_submit_mode.up.sql made. A wording that is there in two ways keeps the sum of one:
-- the other one gets a sum that nothing has.

set local lock_timeout = '10s';

alter table workflows add column submit_mode submit_mode not null default 'inline';

comment on column workflows.submit_mode is 'How its query reaches AMC from now on.';

update workflows
set submit_mode = version.submit_mode
from workflow_versions version
where version.id = workflows.current_version_id
  and version.submit_mode <> 'inline';

alter table workflow_versions disable trigger refuse_update;

update workflow_versions as version
set sha256 = sha256(sha256 || convert_to(id::text, 'UTF8'))
where submit_mode = 'saved'
  and exists (
      select from workflow_versions as other
      where other.workflow_id = version.workflow_id
        and other.sha256 = version.sha256
        and other.submit_mode = 'inline'
  );

alter table workflow_versions enable trigger refuse_update;

alter table workflow_versions drop constraint workflow_versions_wording_key;
alter table workflow_versions add constraint workflow_versions_sha256_key unique (workflow_id, sha256);

alter table workflow_versions drop column submit_mode;
