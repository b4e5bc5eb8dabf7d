-- Requests that nothing has come of yet; what waits for a person may do so for a day.
select count(*) from judgements where state = 'open'
