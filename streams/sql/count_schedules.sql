select schedule, times, due_ms from schedules
