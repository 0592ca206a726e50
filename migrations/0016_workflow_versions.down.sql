-- Takes away the versions, and what the workflows say with them.

alter table workflows drop column current_version_id;
drop table workflow_versions;
