"""The records of MCAP (mcap.dev/spec) that are read or written here, and Zstandard."""

from __future__ import annotations

import struct
import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:  # what rosbags itself uses there
    from backports import zstd

#: What a file begins and ends with.
MAGIC = b"\x89MCAP0\r\n"
#: What stands at the end of a file without a summary: DataEnd and Footer.
END = struct.pack("<BQI", 0x0F, 4, 0) + struct.pack("<BQQQI", 0x02, 20, 0, 0, 0) + MAGIC
CHUNK, DATA_END = 0x06, 0x0F
#: A record's code and length; a chunk's first and last time, size, checksum, and the length of its compression's name.
HEAD, CHUNK_HEAD = struct.Struct("<BQ"), struct.Struct("<QQQII")
#: Of a chunk, so many bytes are looked at.
LONGEST_CHUNK = 1 << 28

__all__ = ["CHUNK", "CHUNK_HEAD", "DATA_END", "END", "HEAD", "LONGEST_CHUNK", "MAGIC", "zstd"]
