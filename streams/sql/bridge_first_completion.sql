select outcome, detail, server from bridge_completions where decision_id = $1
