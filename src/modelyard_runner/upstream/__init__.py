"""Models that bring their own server: `start_server.sh` and the translation to what it speaks."""
