create index if not exists actions_pending on actions_by_region (effective_stamp, decision_id)
where completion_stamp is null and effective_stamp is not null
