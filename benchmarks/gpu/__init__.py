"""A GPU that is lent for minutes, without a network: pack, run there, report."""
