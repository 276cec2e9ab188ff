"""One file a contestant: how it mixes domains, in its own best practice, on samples that are one integer each."""
