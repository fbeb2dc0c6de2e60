"""The targets: engines that run here, and upstreams that are somebody else's; adapters translate and never act."""
