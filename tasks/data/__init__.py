"""Where raw data comes from: files, tables, downloads, samples."""
