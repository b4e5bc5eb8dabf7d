create index if not exists actions_ended on actions_by_region (closing_stamp, decision_id)
where completion_stamp is null and closing_stamp is not null
