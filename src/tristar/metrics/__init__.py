"""What is counted, and how it is shown to Prometheus; one file per subject, `books` holds them all."""
