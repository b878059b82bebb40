"""The way to the upstream and back: transport, attempts, stream integrity."""
