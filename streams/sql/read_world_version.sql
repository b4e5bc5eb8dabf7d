select coalesce(max(version), 0) from world_versions
