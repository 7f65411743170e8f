"""Small images that the lab makes itself: no registry outside is ever asked."""
