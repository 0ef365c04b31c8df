#include "core/codec/compressed_bytes.hpp"

#include <zstd.h>

#include "core/codec/zstd_frame.hpp"

namespace tsext {

// zstd packs 128 KiB of one byte into a block of four.
constexpr uint64_t kLargestRatio = 32768;

bool AppendCompressed(ByteSpan bytes, int level, ByteBuffer &out) {
  if (bytes.empty()) return false;
  const size_t start = out.size();
  const size_t size = AppendZstdFrame(out, bytes, level);
  const bool is_smaller = size != 0 && size < bytes.size();
  if (!is_smaller) out.resize(start);
  return is_smaller;
}

Status CompressedContentSize(ByteSpan frame, uint64_t limit, uint64_t &size) noexcept {
  const unsigned long long claimed = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (claimed == ZSTD_CONTENTSIZE_ERROR || claimed == ZSTD_CONTENTSIZE_UNKNOWN)
    return Status::Corrupt("compressed bytes have no size");
  if (claimed > limit || claimed / kLargestRatio > frame.size())
    return Status::Corrupt("compressed bytes claim too large a size");
  size = claimed;
  return Status::Ok();
}

Status Decompress(ByteSpan frame, std::span<std::byte> out) {
  return ReadZstdFrame(frame, out) ? Status::Ok() : Status::Corrupt("compressed bytes are damaged");
}

}  // namespace tsext
