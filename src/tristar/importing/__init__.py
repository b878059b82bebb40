"""Configurations of other gateways, read into ours: `litellm` reads, `draft` is what comes of it."""
