-- One that waits until its user has logged in again.
update report_data_collections
set auto_paused = true, paused_by = 'engine', resume_at = null, paused_for = 'lwa_user:' || user_id
where collection_id = 'col_2025_campaigns' and status = 'paused';
