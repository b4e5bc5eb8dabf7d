select count(*) from dead_letters where not published
