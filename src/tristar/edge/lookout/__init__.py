"""`/admin`: what operators see of the running host."""
