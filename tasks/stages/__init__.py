"""The stages of the pipeline, one verb a file, each with one `main(context)`."""
