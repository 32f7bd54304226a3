"""Texts: topics, named entities, next tokens."""
