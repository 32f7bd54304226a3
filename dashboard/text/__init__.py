"""Translations, and the formatting of numbers, times and cron expressions."""
