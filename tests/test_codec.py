"""Codecs as the command line names them."""

import pytest

from mixio.codec import Codec
from mixio.errors import InvalidArgument


@pytest.mark.parametrize(
    "text", ["lz4:5", "lz4:1", "zstd:3", "lz4hc:9", "none", "zstd:3:bitshuffle", "lz4:5:noshuffle"]
)
def test_a_codec_is_written_as_it_is_read(text: str) -> None:
    assert str(Codec.parse(text)) == text


def test_a_name_alone_takes_the_default_level() -> None:
    assert Codec.parse("zstd") == Codec("zstd", 5, "shuffle")
    assert Codec.parse("lz4") == Codec()


def test_numbers_of_one_byte_are_not_shuffled() -> None:
    assert Codec().blosc(1) == {"cname": "lz4", "clevel": 5, "shuffle": "noshuffle", "typesize": 1, "blocksize": 0}
    assert Codec().blosc(2)["shuffle"] == "shuffle"


def test_no_codec_is_the_level_0_of_blosc() -> None:
    assert Codec("none").blosc(2) == {
        "cname": "lz4", "clevel": 0, "shuffle": "noshuffle", "typesize": 2, "blocksize": 0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gzip", "codec must be one of lz4, lz4hc, zstd, none, got 'gzip'"),
        ("zstd:22", "level of codec zstd must be from 1 to 9, got 22"),
        ("zstd:3:delta", "filter of codec zstd must be one of"),
        ("zstd:fast", "a codec is NAME, NAME:LEVEL or NAME:LEVEL:FILTER"),
        ("zstd:3:shuffle:1", "a codec is NAME, NAME:LEVEL or NAME:LEVEL:FILTER"),
    ],
)
def test_what_is_no_codec_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Codec.parse(text)
