#include "core/codec/string_codec.hpp"

#include <algorithm>

#include "core/codec/compressed_bytes.hpp"

namespace tsext {

namespace {

constexpr uint32_t kValuesAreFrame = 1;
constexpr uint32_t kPayloadIsFrame = uint32_t{1} << 31;

uint64_t TotalSize(std::span<const ByteView> values) noexcept {
  uint64_t total = 0;
  for (const ByteView &value : values) total += value.size;
  return total;
}

void AppendAll(std::span<const ByteView> values, ByteBuffer &out) {
  for (const ByteView &value : values) AppendBytes(out, {value.data, value.size});
}

void AppendLengths(std::span<const ByteView> values, Level level, ByteBuffer &out) {
  std::pmr::vector<int64_t> lengths(out.get_allocator());
  lengths.reserve(values.size());
  for (const ByteView &value : values) lengths.push_back(value.size);
  AppendIntegerStream(lengths, level, out);
}

void StoreU32(ByteBuffer &out, size_t at, size_t value) {
  const uint32_t stored = static_cast<uint32_t>(value);
  std::memcpy(out.data() + at, &stored, sizeof stored);
}

}  // namespace

Status EncodeDictionary(std::span<const ByteView> distinct, std::span<const uint32_t> codes,
                        Level level, ByteBuffer &out) {
  if (TotalSize(distinct) > kMaxVectorBytes)
    return Status::TooLarge("the distinct values of a column are longer than 1 GiB");
  AlignBuffer(out, 8);
  const size_t header = out.size();
  Append(out, static_cast<uint32_t>(distinct.size()));
  out.resize(out.size() + 3 * sizeof(uint32_t));
  AppendLengths(distinct, level, out);
  if (distinct.size() > 1) {
    std::pmr::vector<int64_t> wide(codes.begin(), codes.end(), out.get_allocator());
    AppendIntegerStream(wide, level, out);
  }

  const size_t start = out.size();
  bool is_frame = false;
  if (level == Level::kCold) {
    ByteBuffer raw(out.get_allocator());
    AppendAll(distinct, raw);
    is_frame = AppendCompressed(raw, ZstdLevel(level), out);
  }
  if (!is_frame) AppendAll(distinct, out);
  StoreU32(out, header + sizeof(uint32_t), is_frame ? kValuesAreFrame : 0);
  StoreU32(out, header + 2 * sizeof(uint32_t), out.size() - start);
  return Status::Ok();
}

Status EncodeFrames(std::span<const ByteView> values, Level level, ByteBuffer &out) {
  AppendLengths(values, level, out);
  const uint32_t count = static_cast<uint32_t>(values.size());
  const uint32_t vectors = VectorCount(count);
  const size_t directory = out.size();
  out.resize(directory + vectors * sizeof(uint32_t));
  ByteBuffer raw(out.get_allocator());
  for (uint32_t v = 0; v < vectors; v++) {
    const std::span<const ByteView> vector =
        values.subspan(size_t{v} * kVectorSize, ValuesInVector(v, count));
    if (TotalSize(vector) > kMaxVectorBytes)
      return Status::TooLarge("1024 values of a column are longer than 1 GiB");
    raw.clear();
    AppendAll(vector, raw);
    const size_t start = out.size();
    const bool is_frame = AppendCompressed(raw, ZstdLevel(level), out);
    if (!is_frame) AppendBytes(out, raw);
    StoreU32(out, directory + v * sizeof(uint32_t),
             (out.size() - start) | (is_frame ? kPayloadIsFrame : 0));
  }
  return Status::Ok();
}

DictionaryStream::DictionaryStream(std::pmr::memory_resource *memory)
    : values_(memory), decompressed_(memory), codes_(memory) {}

Status DictionaryStream::Open(ByteSpan bytes, uint32_t count) {
  count_ = count;
  ByteReader reader(bytes);
  uint32_t value_count = 0, flags = 0, stored_size = 0, zero = 0;
  if (!reader.Read(value_count) || !reader.Read(flags) || !reader.Read(stored_size) ||
      !reader.Read(zero))
    return Status::Corrupt("the dictionary is too short");
  if (value_count == 0 || value_count > count)
    return Status::Corrupt("the dictionary's size is out of range");
  if (flags > kValuesAreFrame || zero != 0)
    return Status::Unsupported("the dictionary has unknown flags");
  ByteSpan length_bytes, code_bytes, stored;
  if (!ReadNestedStream(reader, length_bytes) ||
      (value_count > 1 && !ReadNestedStream(reader, code_bytes)) ||
      !reader.ReadBytes(stored_size, stored) || reader.remaining() != 0)
    return Status::Corrupt("the dictionary's parts do not fill it");

  IntegerStream lengths(values_.get_allocator().resource());
  TSEXT_RETURN_IF_ERROR(lengths.Open(length_bytes, value_count));
  if (value_count > 1) TSEXT_RETURN_IF_ERROR(codes_.Open(code_bytes, count));

  values_.resize(value_count);
  uint64_t total = 0;
  for (uint32_t v = 0; v < VectorCount(value_count); v++) {
    TSEXT_RETURN_IF_ERROR(lengths.Decode(v, scratch_.data()));
    for (uint32_t i = 0; i < ValuesInVector(v, value_count); i++) {
      const uint64_t length = static_cast<uint64_t>(scratch_[i]);
      if (length > kMaxVectorBytes || total + length > kMaxVectorBytes)
        return Status::Corrupt("a value's length is out of range");
      values_[v * kVectorSize + i].size = static_cast<uint32_t>(length);
      total += length;
    }
  }

  const std::byte *at = stored.data();
  if (flags == kValuesAreFrame) {
    uint64_t size = 0;
    TSEXT_RETURN_IF_ERROR(CompressedContentSize(stored, total, size));
    if (size != total) return Status::Corrupt("the dictionary's values do not fill it");
    decompressed_.resize(size);
    TSEXT_RETURN_IF_ERROR(Decompress(stored, decompressed_));
    at = decompressed_.data();
  } else if (stored.size() != total) {
    return Status::Corrupt("the dictionary's values do not fill it");
  }
  for (ByteView &value : values_) {
    value.data = at;
    at += value.size;
  }
  return Status::Ok();
}

Status DictionaryStream::ArenaSize(uint32_t, uint64_t &size) {
  size = 0;
  return Status::Ok();
}

Status DictionaryStream::Decode(uint32_t index, ByteView *out, std::byte *) {
  const uint32_t rows = ValuesInVector(index, count_);
  if (values_.size() == 1) {
    std::fill_n(out, rows, values_[0]);
    return Status::Ok();
  }
  alignas(64) uint32_t codes[kVectorSize];
  TSEXT_RETURN_IF_ERROR(DecodeCodes(index, codes));
  for (uint32_t i = 0; i < rows; i++) out[i] = values_[codes[i]];
  return Status::Ok();
}

Status DictionaryStream::DecodeCodes(uint32_t index, uint32_t *out) {
  const uint32_t rows = ValuesInVector(index, count_);
  if (values_.size() == 1) {
    std::fill_n(out, rows, 0);
    return Status::Ok();
  }
  return codes_.DecodeCodes(index, static_cast<uint32_t>(values_.size()), out);
}

Status DictionaryStream::FindCodeRuns(std::pmr::vector<ValueRun> &runs) const {
  if (values_.size() == 1) {
    runs.assign(1, {});
    return Status::Ok();
  }
  codes_.FindRuns(runs);
  for (const ValueRun &run : runs) {
    if (static_cast<uint64_t>(run.value) >= values_.size())
      return Status::Corrupt("a dictionary code is out of range");
  }
  return Status::Ok();
}

const char *DictionaryStream::EncodingName() const noexcept {
  if (values_.size() == 1) return "constant";
  return decompressed_.empty() ? "dictionary" : "dictionary+zstd";
}

FramesStream::FramesStream(std::pmr::memory_resource *memory) : length_stream_(memory) {}

Status FramesStream::Open(ByteSpan bytes, uint32_t count) {
  count_ = count;
  current_ = kNoVector;
  ByteReader reader(bytes);
  ByteSpan length_bytes, directory;
  const uint32_t vectors = VectorCount(count);
  if (vectors > kMaxVectorsPerSegment || !ReadNestedStream(reader, length_bytes) ||
      !reader.ReadBytes(vectors * sizeof(uint32_t), directory))
    return Status::Corrupt("the directory of frames is too short");
  TSEXT_RETURN_IF_ERROR(length_stream_.Open(length_bytes, count));
  for (uint32_t v = 0; v < vectors; v++) {
    const uint32_t stored = LoadUnaligned<uint32_t>(directory.data() + v * sizeof(uint32_t));
    payloads_[v].is_frame = (stored & kPayloadIsFrame) != 0;
    if (!reader.ReadBytes(stored & ~kPayloadIsFrame, payloads_[v].bytes))
      return Status::Corrupt("the frames are too short");
  }
  if (reader.remaining() != 0) return Status::Corrupt("bytes follow the last frame");
  return Status::Ok();
}

Status FramesStream::ReadLengths(uint32_t index) {
  if (index == current_) return Status::Ok();
  current_ = kNoVector;
  TSEXT_RETURN_IF_ERROR(length_stream_.Decode(index, lengths_.data()));
  total_ = 0;
  for (uint32_t i = 0; i < ValuesInVector(index, count_); i++) {
    const uint64_t length = static_cast<uint64_t>(lengths_[i]);
    if (length > kMaxVectorBytes || total_ + length > kMaxVectorBytes)
      return Status::Corrupt("a value's length is out of range");
    total_ += length;
  }
  const Payload &payload = payloads_[index];
  uint64_t size = payload.bytes.size();
  if (payload.is_frame) TSEXT_RETURN_IF_ERROR(CompressedContentSize(payload.bytes, total_, size));
  if (size != total_) return Status::Corrupt("a vector's values do not fill it");
  current_ = index;
  return Status::Ok();
}

Status FramesStream::ArenaSize(uint32_t index, uint64_t &size) {
  TSEXT_RETURN_IF_ERROR(ReadLengths(index));
  size = payloads_[index].is_frame ? total_ : 0;
  return Status::Ok();
}

Status FramesStream::Decode(uint32_t index, ByteView *out, std::byte *arena) {
  TSEXT_RETURN_IF_ERROR(ReadLengths(index));
  const Payload &payload = payloads_[index];
  const std::byte *at = payload.bytes.data();
  if (payload.is_frame) {
    TSEXT_RETURN_IF_ERROR(Decompress(payload.bytes, {arena, total_}));
    at = arena;
  }
  for (uint32_t i = 0; i < ValuesInVector(index, count_); i++) {
    out[i] = {at, static_cast<uint32_t>(lengths_[i])};
    at += lengths_[i];
  }
  return Status::Ok();
}

const char *FramesStream::EncodingName() const noexcept {
  return "zstd";
}

}  // namespace tsext
