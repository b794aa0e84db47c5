"""What goes over the socket: HTTP, bodies in, answers out. Nothing here needs numpy or pandas."""
