select count(*) from dead_letters
