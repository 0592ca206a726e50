-- One agency's analyst with two years of service, one new colleague, one who left.
insert into users (id, email, name, amazon_user_id, is_active) values
    ('01900000-0000-7000-8000-000000000001', 'ana.lima@brightshelf.example', 'Ana Lima', 'amzn1.account.AEX4MPL3KQ2J7', true),
    ('01900000-0000-7000-8000-000000000002', 'jonas.weber@brightshelf.example', 'Jonas Weber', null, true),
    ('01900000-0000-7000-8000-000000000003', 'lee.park@brightshelf.example', 'Lee Park', 'amzn1.account.AEX4MPL9ZT1W5', false);
