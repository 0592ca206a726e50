-- One that a person has paused until a time.
update report_data_collections
set status = 'paused', pause_reason = 'quarter end', paused_at = '2025-11-21T08:00:00Z', paused_by = 'ana',
    resume_at = '2025-12-01T00:00:00Z', paced_from = started_at
where collection_id = 'col_2025_campaigns';
