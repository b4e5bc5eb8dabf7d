"""The peers: each folds the same topic its own ordinary way, and prints one JSON object.

Every script takes: bootstrap topic events seconds. Each decodes the protobuf event and keeps each player's score, gold
and position in the state the peer offers for that; none is asked for exactly-once or for a database.
"""
