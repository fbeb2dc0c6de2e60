"""Anthropic's Messages API: a client's request and its answer, a target's answer and its request, to and from chat."""
