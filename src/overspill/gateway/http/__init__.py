"""HTTP/1.1 of our own on httptools' parsers: a server that hands out exchanges and a client that pools connections."""
