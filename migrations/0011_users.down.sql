-- Takes away the users.

drop table users;
