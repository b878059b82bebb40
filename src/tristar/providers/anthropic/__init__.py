"""Anthropic's Messages, as a surface and as a dialect.

Source of the shapes: Anthropic's published API reference, "Create a Message", "Streaming messages",
"Count tokens in a Message" and "Errors".
"""
