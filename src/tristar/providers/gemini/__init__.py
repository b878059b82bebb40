"""The language of Google's Gemini API: the dialect `gemini`.

Source of the shapes: the published reference of `generateContent`, `streamGenerateContent` and
`batchEmbedContents`.
"""
