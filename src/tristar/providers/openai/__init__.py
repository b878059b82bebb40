"""OpenAI's chat completions and embeddings, as a surface and as a dialect.

Source of the shapes: OpenAI's published API description, `CreateChatCompletionRequest`,
`CreateChatCompletionResponse` and `CreateChatCompletionStreamResponse`.
"""
