-- Takes away the collections.

drop table report_data_collections;
drop type collection_status;
drop type collection_grain;
drop type collection_kind;
