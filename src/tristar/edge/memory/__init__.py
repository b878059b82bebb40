"""The shared memory at the edge: over REST, and as tools for llms (MCP)."""
