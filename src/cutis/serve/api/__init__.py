"""The API: a server that takes uploads, a worker process that answers them."""
