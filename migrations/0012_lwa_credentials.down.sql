-- Takes away the credentials.

drop table lwa_credentials;
drop type token_state;
