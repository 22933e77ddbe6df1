"""The API that users write, one package per version."""
