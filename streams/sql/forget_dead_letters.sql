delete from dead_letters where role = $1
