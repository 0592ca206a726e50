-- A query that was reworded once, and one that never was; the query put away has none.
insert into workflow_versions (id, workflow_id, sql_query, input_parameters, sha256)
select id::uuid, workflow_id::uuid, sql_query, input_parameters::jsonb, sha256(convert_to(sql_query || input_parameters, 'UTF8'))
from (values
    ('01900000-0000-7000-8000-000000000041', '01900000-0000-7000-8000-000000000031',
     'SELECT campaign_id, SUM(impressions) AS impressions FROM dsp_impressions GROUP BY 1', '[]'),
    ('01900000-0000-7000-8000-000000000042', '01900000-0000-7000-8000-000000000031',
     'SELECT campaign_id, campaign, SUM(impressions) AS impressions, SUM(clicks) AS clicks FROM sponsored_ads_traffic WHERE ad_product_type = CUSTOM_PARAMETER(''ad_product_type'') GROUP BY 1, 2',
     '[{"name": "ad_product_type", "dataType": "STRING", "defaultValue": "sponsored_products"}]'),
    ('01900000-0000-7000-8000-000000000043', '01900000-0000-7000-8000-000000000032',
     'SELECT path, COUNT(DISTINCT user_id) AS users FROM conversions GROUP BY 1', '[]')
) as v (id, workflow_id, sql_query, input_parameters);

update workflows set current_version_id = '01900000-0000-7000-8000-000000000042' where workflow_id = 'wf_campaign_week';
update workflows set current_version_id = '01900000-0000-7000-8000-000000000043' where workflow_id = 'wf_path_to_conversion';
