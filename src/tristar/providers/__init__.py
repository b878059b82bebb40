"""What each provider speaks: rows of data, and one module per dialect."""
