"""What a stage is made of: parts, shards, their cache, costs, progress and devices."""
