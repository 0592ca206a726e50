-- One that takes over no answers of before November.
update report_data_collections set reuse_after = '2025-11-01T00:00:00Z' where collection_id = 'col_2025_campaigns';
