"""Unpacks a few kB into gigabytes. Success: more memory than the limit."""

import io
import zipfile
import zlib

packer = zlib.compressobj(9)
bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(512)) + packer.flush()
packed = io.BytesIO()
with zipfile.ZipFile(packed, "w") as archive:
    archive.writestr("bomb", bomb)
with zipfile.ZipFile(packed) as archive:
    data = zlib.decompress(archive.read("bomb"))
print("ESCAPED: holds", len(data) >> 20, "MiB")
