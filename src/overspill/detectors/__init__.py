"""What decides by a request's text that it must stay local; it runs in a process of its own."""
