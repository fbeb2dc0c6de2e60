"""What to own, rent or buy by the token: reads traces and the ledger, opens no sockets."""
