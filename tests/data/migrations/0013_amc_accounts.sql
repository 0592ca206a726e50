-- Accounts in two regions.
insert into amc_accounts (id, account_id, account_name, marketplace_id, region, user_id, status) values
    ('01900000-0000-7000-8000-000000000011', 'ENTITY2NQX8M1ABCDE', 'Bright Shelf US', 'ATVPDKIKX0DER', 'na', '01900000-0000-7000-8000-000000000001', 'active'),
    ('01900000-0000-7000-8000-000000000012', 'ENTITY3KDE7P2FGHIJ', 'Bright Shelf DE', 'A1PA6795UKMFR9', 'eu', '01900000-0000-7000-8000-000000000002', 'active'),
    ('01900000-0000-7000-8000-000000000013', 'ENTITY1OLD0Q3KLMNO', 'Park Goods', 'ATVPDKIKX0DER', 'na', '01900000-0000-7000-8000-000000000003', 'disabled');
