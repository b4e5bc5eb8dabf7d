select origin, last, holes, dots, stamp from bridge_clients where client = $1 for update
