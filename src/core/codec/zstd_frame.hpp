#pragma once

// zstd with one context a thread, made at first use and kept.

#include <span>

#include "tsext/bytes.hpp"

namespace tsext {

/// Appends a frame of `bytes` to `out` and returns its size; 0 and nothing appended when zstd fails
/// (out of memory).
size_t AppendZstdFrame(ByteBuffer &out, ByteSpan bytes, int zstd_level);

/// Decompresses one frame that holds exactly out.size() bytes. False when it does not. Throws
/// std::bad_alloc when zstd has no memory.
[[nodiscard]] bool ReadZstdFrame(ByteSpan frame, std::span<std::byte> out);

}  // namespace tsext
