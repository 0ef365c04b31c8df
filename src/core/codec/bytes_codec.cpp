#include "core/codec/bytes_codec.hpp"

namespace tsext {

void AppendIntegerStream(std::span<const int64_t> values, Level level, ByteBuffer &out) {
  AlignBuffer(out, 8);
  const size_t header = out.size();
  Append(out, uint64_t{0});
  EncodeIntegers(values, level, out);
  const uint32_t size = static_cast<uint32_t>(out.size() - header - sizeof(uint64_t));
  std::memcpy(out.data() + header, &size, sizeof size);
  AlignBuffer(out, 8);
}

bool ReadNestedStream(ByteReader &reader, ByteSpan &stream) noexcept {
  uint32_t size = 0, zero = 0;
  if (!reader.Read(size) || !reader.Read(zero) || zero != 0) return false;
  return reader.ReadBytes(size, stream) && reader.Skip((8 - size % 8) % 8);
}

}  // namespace tsext
