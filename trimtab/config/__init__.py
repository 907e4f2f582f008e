"""The configuration: one `trimtab.yaml`, with the place of every mistake, and the reader that policies share."""
