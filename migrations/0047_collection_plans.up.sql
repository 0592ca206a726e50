-- Plans: collections that were asked for together, one for each workflow on each instance.

set local lock_timeout = '10s';

create table collection_plans (
    id         uuid primary key default gen_random_uuid(),
    plan_id    text not null unique,
    name       text not null,
    asked_by   text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

comment on table collection_plans is 'Plans: collections that were asked for together. How a plan stands is what its collections sum up to.';
comment on column collection_plans.id is 'Names the plan here.';
comment on column collection_plans.plan_id is 'Names the plan for people and programs.';
comment on column collection_plans.name is 'What to call it on a page.';
comment on column collection_plans.asked_by is 'Who asked for it: a command or a program.';
comment on column collection_plans.created_at is 'When the row was made.';
comment on column collection_plans.updated_at is 'When the row last changed.';

create index collection_plans_by_age on collection_plans (created_at desc);

create trigger set_updated_at before update on collection_plans for each row execute function set_updated_at();

alter table report_data_collections
    add column plan_id uuid references collection_plans (id) on delete restrict;

comment on column report_data_collections.plan_id is 'The plan it is part of; null for one that was asked for alone.';

create index report_data_collections_of_plan on report_data_collections (plan_id) where plan_id is not null;
