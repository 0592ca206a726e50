-- No table yet: the regions are known.
select 'na'::amc_region, 'eu'::amc_region, 'fe'::amc_region;
