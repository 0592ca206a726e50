-- Takes away the accounts.

drop table amc_accounts;
drop type account_status;
