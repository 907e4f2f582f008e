"""The composition root: everything is put together here, and only here."""
