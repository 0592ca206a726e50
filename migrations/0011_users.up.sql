-- The people in whose name the engine talks to Amazon.

create table users (
    id             uuid primary key default gen_random_uuid(),
    email          text not null unique,
    name           text not null,
    amazon_user_id text unique,
    is_active      boolean not null default true,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),

    constraint email_is_lower_case check (email = lower(email)),
    constraint email_has_an_at check (email like '%_@_%')
);

comment on table users is 'People whose Amazon login the engine uses.';
comment on column users.id is 'Names the user here.';
comment on column users.email is 'How people name the user; in lower case, so that one person is one row.';
comment on column users.name is 'What to call the user on a page.';
comment on column users.amazon_user_id is 'Amazon''s id of the user, when it is known.';
comment on column users.is_active is 'False stops new work in the user''s name.';
comment on column users.created_at is 'When the row was made.';
comment on column users.updated_at is 'When the row last changed.';

create trigger set_updated_at before update on users for each row execute function set_updated_at();
