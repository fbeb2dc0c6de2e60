"""OpenAI's Responses: their requests read into chat requests, and chat answers written as responses."""
