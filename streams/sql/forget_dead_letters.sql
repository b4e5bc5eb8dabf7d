delete from dead_letters where roles = array[$1::text]
