#include "core/codec/fixed_codec.hpp"

#include <algorithm>
#include <cstring>

#include "core/codec/compressed_bytes.hpp"

namespace tsext {

namespace {

constexpr uint32_t kTimeBytes = 6;
constexpr uint32_t kRestBytes = kUuidWidth - kTimeBytes;
constexpr int64_t kMaxUuidTime = (int64_t{1} << 48) - 1;
constexpr uint32_t kPayloadIsFrame = uint32_t{1} << 31;

constexpr uint32_t MaskSize(uint32_t width) noexcept {
  return (width + 7) / 8;
}

/// Appends the planes of one vector, uncompressed.
void AppendPlanes(std::span<const ByteView> values, uint32_t width, ByteBuffer &out) {
  const size_t mask = out.size();
  out.resize(mask + MaskSize(width));
  for (uint32_t plane = 0; plane < width; plane++) {
    const std::byte first = values[0].data[plane];
    const bool is_constant = std::all_of(values.begin(), values.end(), [&](const ByteView &value) {
      return value.data[plane] == first;
    });
    if (!is_constant) continue;
    out[mask + plane / 8] |= std::byte{1} << (plane % 8);
    out.push_back(first);
  }
  for (uint32_t plane = 0; plane < width; plane++) {
    if ((out[mask + plane / 8] & (std::byte{1} << (plane % 8))) != std::byte{0}) continue;
    for (const ByteView &value : values) out.push_back(value.data[plane]);
  }
}

}  // namespace

bool AreTimeUuids(std::span<const ByteView> values) noexcept {
  return std::all_of(values.begin(), values.end(), [](const ByteView &value) {
    return value.size == kUuidWidth && (value.data[kTimeBytes] >> 4) == std::byte{7};
  });
}

void EncodeTimeUuids(std::span<const ByteView> values, Level level, ByteBuffer &out) {
  std::pmr::vector<int64_t> times(out.get_allocator());
  times.reserve(values.size());
  for (const ByteView &value : values) {
    uint64_t time = 0;
    for (uint32_t i = 0; i < kTimeBytes; i++)
      time = time << 8 | static_cast<uint8_t>(value.data[i]);
    times.push_back(static_cast<int64_t>(time));
  }
  AppendIntegerStream(times, level, out);
  out.reserve(out.size() + values.size() * kRestBytes);
  for (const ByteView &value : values) AppendBytes(out, {value.data + kTimeBytes, kRestBytes});
}

void EncodePlanes(std::span<const ByteView> values, uint32_t width, Level level, ByteBuffer &out) {
  Append(out, width);
  Append(out, uint32_t{0});
  const uint32_t count = static_cast<uint32_t>(values.size());
  const uint32_t vectors = VectorCount(count);
  const size_t directory = out.size();
  out.resize(directory + vectors * sizeof(uint32_t));
  ByteBuffer raw(out.get_allocator());
  for (uint32_t v = 0; v < vectors; v++) {
    raw.clear();
    AppendPlanes(values.subspan(size_t{v} * kVectorSize, ValuesInVector(v, count)), width, raw);
    const size_t start = out.size();
    const bool is_frame = level == Level::kCold && AppendCompressed(raw, ZstdLevel(level), out);
    if (!is_frame) AppendBytes(out, raw);
    const uint32_t stored =
        static_cast<uint32_t>(out.size() - start) | (is_frame ? kPayloadIsFrame : 0);
    std::memcpy(out.data() + directory + v * sizeof stored, &stored, sizeof stored);
  }
}

TimeUuidStream::TimeUuidStream(std::pmr::memory_resource *memory) : times_(memory) {}

Status TimeUuidStream::Open(ByteSpan bytes, uint32_t count) {
  count_ = count;
  ByteReader reader(bytes);
  ByteSpan times;
  if (!ReadNestedStream(reader, times) || !reader.ReadBytes(size_t{count} * kRestBytes, rest_) ||
      reader.remaining() != 0)
    return Status::Corrupt("the parts of a stream of UUIDs do not fill it");
  return times_.Open(times, count);
}

Status TimeUuidStream::ArenaSize(uint32_t index, uint64_t &size) {
  size = uint64_t{ValuesInVector(index, count_)} * kUuidWidth;
  return Status::Ok();
}

Status TimeUuidStream::Decode(uint32_t index, ByteView *out, std::byte *arena) {
  TSEXT_RETURN_IF_ERROR(times_.Decode(index, scratch_.data()));
  const std::byte *rest = rest_.data() + size_t{index} * kVectorSize * kRestBytes;
  for (uint32_t i = 0; i < ValuesInVector(index, count_); i++) {
    if (scratch_[i] < 0 || scratch_[i] > kMaxUuidTime)
      return Status::Corrupt("the time of a UUID is out of range");
    const uint64_t time = __builtin_bswap64(static_cast<uint64_t>(scratch_[i]) << 16);
    std::memcpy(arena, &time, kTimeBytes);
    std::memcpy(arena + kTimeBytes, rest, kRestBytes);
    out[i] = {arena, kUuidWidth};
    arena += kUuidWidth;
    rest += kRestBytes;
  }
  return Status::Ok();
}

const char *TimeUuidStream::EncodingName() const noexcept {
  return "uuid-time";
}

PlanesStream::PlanesStream(std::pmr::memory_resource *memory, uint32_t width)
    : decompressed_(memory), width_(width) {}

Status PlanesStream::Open(ByteSpan bytes, uint32_t count) {
  count_ = count;
  any_frame_ = false;
  ByteReader reader(bytes);
  uint32_t width = 0, zero = 0;
  ByteSpan directory;
  const uint32_t vectors = VectorCount(count);
  if (vectors > kMaxVectorsPerSegment || !reader.Read(width) || !reader.Read(zero) ||
      !reader.ReadBytes(vectors * sizeof(uint32_t), directory))
    return Status::Corrupt("the directory of byte planes is too short");
  if (width != width_ || zero != 0)
    return Status::Corrupt("the byte planes have another width than the column");
  for (uint32_t v = 0; v < vectors; v++) {
    const uint32_t stored = LoadUnaligned<uint32_t>(directory.data() + v * sizeof(uint32_t));
    payloads_[v].is_frame = (stored & kPayloadIsFrame) != 0;
    any_frame_ = any_frame_ || payloads_[v].is_frame;
    if (!reader.ReadBytes(stored & ~kPayloadIsFrame, payloads_[v].bytes))
      return Status::Corrupt("the byte planes are too short");
  }
  if (reader.remaining() != 0) return Status::Corrupt("bytes follow the last byte plane");
  return Status::Ok();
}

Status PlanesStream::ArenaSize(uint32_t index, uint64_t &size) {
  size = uint64_t{ValuesInVector(index, count_)} * width_;
  return Status::Ok();
}

Status PlanesStream::Decode(uint32_t index, ByteView *out, std::byte *arena) {
  const uint32_t rows = ValuesInVector(index, count_);
  ByteSpan bytes = payloads_[index].bytes;
  if (payloads_[index].is_frame) {
    uint64_t size = 0;
    TSEXT_RETURN_IF_ERROR(
        CompressedContentSize(bytes, MaskSize(width_) + uint64_t{rows} * width_, size));
    decompressed_.resize(size);
    TSEXT_RETURN_IF_ERROR(Decompress(bytes, decompressed_));
    bytes = decompressed_;
  }
  ByteReader reader(bytes);
  ByteSpan mask;
  if (!reader.ReadBytes(MaskSize(width_), mask))
    return Status::Corrupt("the byte planes are too short");
  const auto is_constant = [&](uint32_t plane) {
    return (mask[plane / 8] & (std::byte{1} << (plane % 8))) != std::byte{0};
  };
  for (uint32_t plane = 0; plane < width_; plane++) {
    if (!is_constant(plane)) continue;
    uint8_t constant = 0;
    if (!reader.Read(constant)) return Status::Corrupt("the byte planes are too short");
    for (uint32_t i = 0; i < rows; i++) arena[i * width_ + plane] = std::byte{constant};
  }
  for (uint32_t plane = 0; plane < width_; plane++) {
    if (is_constant(plane)) continue;
    ByteSpan values;
    if (!reader.ReadBytes(rows, values)) return Status::Corrupt("the byte planes are too short");
    for (uint32_t i = 0; i < rows; i++) arena[i * width_ + plane] = values[i];
  }
  if (reader.remaining() != 0) return Status::Corrupt("bytes follow the last byte plane");
  for (uint32_t i = 0; i < rows; i++) out[i] = {arena + i * width_, width_};
  return Status::Ok();
}

const char *PlanesStream::EncodingName() const noexcept {
  return any_frame_ ? "planes+zstd" : "planes";
}

}  // namespace tsext
