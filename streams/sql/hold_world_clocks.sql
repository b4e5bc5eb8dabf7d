update world_clocks set held_until = now() + make_interval(secs => $1), told_by = ''
