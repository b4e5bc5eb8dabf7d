"""The bridge: what the SDK does over Kafka, over HTTP, for game servers that speak nothing else."""
