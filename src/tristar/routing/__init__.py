"""Which llm answers: the catalogue of llms and providers, the router, the breaker."""
