"""The memory that all llms share: entries with an author, a history, a confidence and an end."""
