"""One file a contestant: how it prepares the volumes, and how it reads patches or delivers batches, at its best."""
