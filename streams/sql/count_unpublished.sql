select (select count(*) from dead_letters where not published) + (select count(*) from publications)
