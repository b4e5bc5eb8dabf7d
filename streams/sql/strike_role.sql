update dead_letters set roles = array_remove(roles, $1) where $1 = any(roles)
