-- Takes away the submit attempts.

drop table submit_attempts;
drop type submit_outcome;
