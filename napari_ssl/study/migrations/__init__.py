"""Steps that bring an older ``study.db`` to the present tables."""
