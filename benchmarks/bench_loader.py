"""End to end: normalised float32 batches in the training process, two workers or threads; mixio beside its peers.

    python -m benchmarks.bench_loader --folder corpus --json loader.json --chart loader.png

Every peer is used as its documentation advises (see `benchmarks/peers`), normalises inside its workers, and delivers
batches of four patches; each patch of a trial is found again in the volumes, voxel by voxel, whatever the peer claims.
Turns alternate, each in a process of its own; starting up and the first seconds do not count. Processor time and memory
are those of the whole tree of processes. `make bench` installs the peers and runs this.
"""

from benchmarks.command import command

main = command("load", rounds=5, seconds=6.0, about="How fast batches come, from us and from others.")

if __name__ == "__main__":
    main()
