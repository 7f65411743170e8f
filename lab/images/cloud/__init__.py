"""Cloud images: what machines boot from. A catalogue, and a cache that is filled once on a host."""
