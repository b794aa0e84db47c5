"""Bytes: content-addressed blobs, and archives in and out."""
