-- A refusal is believed when it is repeated; a token that is refused again and again is renewed ever more seldom.

set local lock_timeout = '10s';

alter table lwa_credentials
    add column grant_refused_at timestamptz,
    add column refused_young int not null default 0,
    add constraint refused_young_is_not_negative check (refused_young >= 0);

comment on column lwa_credentials.grant_refused_at is 'When Amazon first refused the refresh token, of refusals in a row; null when the last answer was a token.';
comment on column lwa_credentials.refused_young is 'How many access tokens in a row were refused soon after they were bought.';
