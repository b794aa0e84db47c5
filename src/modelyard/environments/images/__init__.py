"""Images: virtual environments named by the digest of everything that goes into them. No database, no HTTP."""
