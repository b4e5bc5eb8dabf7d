-- Requests that have come to no end yet.
select count(*) from judgements where state in ('open', 'awaiting_approval')
