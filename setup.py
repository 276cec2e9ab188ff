"""The compiled part of the reader, which setup.cfg cannot name; all else about the package is there.

It is optional: where it cannot be built, the same is done in Python, slower (mixio/native.py says so when asked).
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "mixio._native",
            sources=["mixio/csrc/read.c"],
            depends=[f"mixio/csrc/{name}.h" for name in ("avx2", "bits", "frame", "gfni", "linear")],
            extra_compile_args=["-O3", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"],
            optional=True,
        )
    ]
)
