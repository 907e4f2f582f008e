"""The words everybody speaks: one noun, one file, its states and legal transitions."""
