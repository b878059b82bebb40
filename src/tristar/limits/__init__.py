"""What a caller may spend: requests, tokens, concurrency, money; reserved before a call, settled after."""
