-- Takes away the answers that nobody expected.

drop table unexpected_answers;
