-- Takes away the journal.

drop table events;
