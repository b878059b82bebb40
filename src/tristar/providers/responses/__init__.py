"""OpenAI's Responses: a surface for every upstream, and passed through to those that have it themselves.

Source of the shapes: OpenAI's published API description, `CreateResponse`, `Response` and
`ResponseStreamEvent`.
"""
