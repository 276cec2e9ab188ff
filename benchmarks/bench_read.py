"""Random patches out of stored volumes, one core: mixio beside an in-memory crop, blosc2, tensorstore, zarr and NIfTI.

    python -m benchmarks.bench_read --folder corpus --json read.json --chart read.png

Everyone reads the same patches of the same volumes, int16, from a warm file cache, pinned to one core, in a process of
its own; turns alternate. Every contestant's patches are compared with the uncompressed volume before anything is
measured. `disk` is bytes beside those of the .nii.gz. `make bench` installs the peers and runs this. "batch" is a call
for four patches; all others are asked for one a call.
"""

from benchmarks.command import command

main = command("read", rounds=7, seconds=3.0, about="How fast patches are read, by us and by others.")

if __name__ == "__main__":
    main()
