// One block back to vectors.

#include <algorithm>
#include <array>
#include <bit>
#include <new>
#include <optional>
#include <variant>

#include "tsext/crc32c.hpp"
#include "tsext/float_codec.hpp"
#include "tsext/integer_codec.hpp"
#include "tsext/segment.hpp"

#include "core/codec/bytes_codec.hpp"
#include "core/codec/compressed_bytes.hpp"
#include "core/codec/fixed_codec.hpp"
#include "core/codec/numeric_codec.hpp"
#include "core/codec/string_codec.hpp"
#include "core/segment/null_section.hpp"
#include "core/segment/segment_format.hpp"

namespace tsext {

namespace {

struct BlockHead {
  BlockCodec codec;
  NullForm null_form;
  uint8_t null_flags;
  uint8_t zero;
  uint32_t null_size;
};
static_assert(sizeof(BlockHead) == kBlockHeadSize);

/// True when a writer may store values of `type` by `codec`.
bool CodecFits(BlockCodec codec, PhysicalType type) noexcept {
  switch (codec) {
    case BlockCodec::kNone:
      return true;
    case BlockCodec::kIntegers:
      return IsInteger(type);
    case BlockCodec::kDoubles:
      return type == PhysicalType::kFloat64;
    case BlockCodec::kFloats:
      return type == PhysicalType::kFloat32;
    case BlockCodec::kDictionary:
      return IsBytes(type);
    case BlockCodec::kFrames:
      return IsBytes(type) && type != PhysicalType::kUuid && type != PhysicalType::kFixed;
    case BlockCodec::kNumeric:
      return type == PhysicalType::kNumeric;
    case BlockCodec::kUuidTime:
      return type == PhysicalType::kUuid;
    case BlockCodec::kPlanes:
      return type == PhysicalType::kUuid || type == PhysicalType::kFixed;
  }
  return false;
}

/// Moves the n-th value of `dense` to the n-th row that is not NULL.
template <typename T>
void Scatter(const T *dense, const NullWords &nulls, uint32_t rows, T null_value, T *out) noexcept {
  for (uint32_t row = 0; row < rows; row++) {
    const bool is_null = ((nulls[row / 64] >> (row % 64)) & 1) != 0;
    out[row] = is_null ? null_value : *dense++;
  }
}

/// Calls visit(row) for each NULL.
template <typename Visit>
void ForEachNull(const NullWords &nulls, const Visit &visit) noexcept {
  for (uint32_t i = 0; i < nulls.size(); i++) {
    for (uint64_t word = nulls[i]; word != 0; word &= word - 1)
      visit(i * 64 + static_cast<uint32_t>(std::countr_zero(word)));
  }
}

}  // namespace

struct BlockReader::State {
  using Streams =
      std::variant<std::monostate, IntegerStream, FloatStream<double>, FloatStream<float>,
                   DictionaryStream, FramesStream, NumericStream, TimeUuidStream, PlanesStream>;

  explicit State(std::pmr::memory_resource *resource)
      : memory(resource), null_bytes(resource), byte_scratch(resource) {}

  Status OpenNulls(BlockHead head, ByteSpan stored);
  Status OpenStream(BlockCodec codec, ByteSpan bytes, uint32_t count);
  Status ReadFilled(uint32_t index, tsext::Vector &out);
  Status ReadDense(uint32_t index, tsext::Vector &out);

  /// Decodes all values that vector `index` of a dense block needs: vector `first` of the stream
  /// and, when they cross its end, the next. decode(stream index, target) writes one stream vector.
  template <typename T, typename Decode>
  Status ReadDenseNumbers(uint32_t index, const NullWords &nulls, T *out, const Decode &decode);
  Status ReadDenseBytes(uint32_t index, tsext::Vector &out);
  Status ReadCodes(uint32_t index, tsext::CodeVector &out);

  std::pmr::memory_resource *memory;
  Streams stream;
  BytesStream *bytes_stream = nullptr;  // the stream, when it is of a bytes class
  std::pmr::vector<std::byte> null_bytes;
  NullSection nulls;
  NullForm null_form = NullForm::kAll;
  PhysicalType type = PhysicalType::kInt64;
  uint32_t width = 0;
  uint32_t row_count = 0;
  uint32_t stream_count = 0;
  bool is_open = false;
  // Two vectors of a stream, to pick a vector of a dense block from.
  union {
    int64_t integers[2 * kVectorSize];
    double doubles[2 * kVectorSize];
    float floats[2 * kVectorSize];
    uint32_t codes[2 * kVectorSize];
  } scratch;
  std::pmr::vector<ByteView> byte_scratch;  // likewise; empty until needed
};

Status BlockReader::State::OpenNulls(BlockHead head, ByteSpan stored) {
  null_form = head.null_form;
  stream_count = row_count;
  if (null_form == NullForm::kNone || null_form == NullForm::kAll) {
    if (!stored.empty() || head.null_flags != 0)
      return Status::Corrupt("the block has a null section that it does not need");
    if (null_form == NullForm::kAll) stream_count = 0;
    return Status::Ok();
  }
  if (head.null_flags == kNullSectionIsFrame) {
    uint64_t size = 0;
    TSEXT_RETURN_IF_ERROR(CompressedContentSize(stored, MaxNullSectionSize(row_count), size));
    null_bytes.resize(size);
    TSEXT_RETURN_IF_ERROR(Decompress(stored, null_bytes));
    stored = null_bytes;
  }
  TSEXT_RETURN_IF_ERROR(nulls.Open(stored, row_count));
  if (nulls.total() == 0 || nulls.total() == row_count)
    return Status::Corrupt("the null section does not fit its form");
  if (null_form == NullForm::kDense) stream_count = row_count - nulls.total();
  return Status::Ok();
}

Status BlockReader::State::OpenStream(BlockCodec codec, ByteSpan bytes, uint32_t count) {
  const auto open_bytes = [&](auto &opened) {
    bytes_stream = &opened;
    return opened.Open(bytes, count);
  };
  switch (codec) {
    case BlockCodec::kNone:
      return bytes.empty() ? Status::Ok() : Status::Corrupt("a block without values has bytes");
    case BlockCodec::kIntegers:
      return stream.emplace<IntegerStream>(memory).Open(bytes, count);
    case BlockCodec::kDoubles:
      return stream.emplace<FloatStream<double>>(memory).Open(bytes, count);
    case BlockCodec::kFloats:
      return stream.emplace<FloatStream<float>>(memory).Open(bytes, count);
    case BlockCodec::kDictionary:
      return open_bytes(stream.emplace<DictionaryStream>(memory));
    case BlockCodec::kFrames:
      return open_bytes(stream.emplace<FramesStream>(memory));
    case BlockCodec::kNumeric:
      return open_bytes(stream.emplace<NumericStream>(memory));
    case BlockCodec::kUuidTime:
      return open_bytes(stream.emplace<TimeUuidStream>(memory));
    case BlockCodec::kPlanes:
      return open_bytes(stream.emplace<PlanesStream>(memory, width));
  }
  return Status::Unsupported("the column was written by a newer version of tsext");
}

Status BlockReader::State::ReadFilled(uint32_t index, tsext::Vector &out) {
  if (auto *integers = std::get_if<IntegerStream>(&stream))
    return integers->Decode(index, out.integers);
  if (auto *doubles = std::get_if<FloatStream<double>>(&stream))
    return doubles->Decode(index, out.doubles);
  if (auto *floats = std::get_if<FloatStream<float>>(&stream))
    return floats->Decode(index, out.floats);

  uint64_t size = 0;
  TSEXT_RETURN_IF_ERROR(bytes_stream->ArenaSize(index, size));
  if (out.arena.size() < size) out.arena.resize(size);
  TSEXT_RETURN_IF_ERROR(bytes_stream->Decode(index, out.bytes.data(), out.arena.data()));
  if (out.any_null) {
    ForEachNull(out.nulls, [&](uint32_t row) { out.bytes[row] = {}; });
  }
  return Status::Ok();
}

template <typename T, typename Decode>
Status BlockReader::State::ReadDenseNumbers(uint32_t index, const NullWords &words, T *out,
                                            const Decode &decode) {
  const uint32_t rows = ValuesInVector(index, row_count);
  const uint32_t wanted = rows - nulls.Count(index);
  if (wanted == 0) {
    std::fill_n(out, rows, T{});
    return Status::Ok();
  }
  const uint32_t begin = nulls.Rank(index);
  const uint32_t first = begin / kVectorSize;
  const uint32_t last = (begin + wanted - 1) / kVectorSize;
  T *values = reinterpret_cast<T *>(&scratch);
  for (uint32_t i = first; i <= last; i++)
    TSEXT_RETURN_IF_ERROR(decode(i, values + (i - first) * kVectorSize));
  Scatter(values + begin % kVectorSize, words, rows, T{}, out);
  return Status::Ok();
}

Status BlockReader::State::ReadDenseBytes(uint32_t index, tsext::Vector &out) {
  const uint32_t begin = nulls.Rank(index);
  const uint32_t wanted = out.count - nulls.Count(index);
  if (wanted == 0) {
    std::fill_n(out.bytes.begin(), out.count, ByteView{});
    return Status::Ok();
  }
  const uint32_t first = begin / kVectorSize;
  const uint32_t last = (begin + wanted - 1) / kVectorSize;
  byte_scratch.resize(2 * kVectorSize);
  uint64_t sizes[2] = {0, 0};
  for (uint32_t i = first; i <= last; i++)
    TSEXT_RETURN_IF_ERROR(bytes_stream->ArenaSize(i, sizes[i - first]));
  if (out.arena.size() < sizes[0] + sizes[1]) out.arena.resize(sizes[0] + sizes[1]);
  std::byte *arena = out.arena.data();
  for (uint32_t i = first; i <= last; i++) {
    TSEXT_RETURN_IF_ERROR(
        bytes_stream->Decode(i, byte_scratch.data() + (i - first) * kVectorSize, arena));
    arena += sizes[0];
  }
  Scatter(byte_scratch.data() + begin % kVectorSize, out.nulls, out.count, ByteView{},
          out.bytes.data());
  return Status::Ok();
}

Status BlockReader::State::ReadDense(uint32_t index, tsext::Vector &out) {
  if (auto *integers = std::get_if<IntegerStream>(&stream)) {
    return ReadDenseNumbers(index, out.nulls, out.integers, [&](uint32_t i, int64_t *values) {
      return integers->Decode(i, values);
    });
  }
  if (auto *doubles = std::get_if<FloatStream<double>>(&stream)) {
    return ReadDenseNumbers(index, out.nulls, out.doubles,
                            [&](uint32_t i, double *values) { return doubles->Decode(i, values); });
  }
  if (auto *floats = std::get_if<FloatStream<float>>(&stream)) {
    return ReadDenseNumbers(index, out.nulls, out.floats,
                            [&](uint32_t i, float *values) { return floats->Decode(i, values); });
  }
  return ReadDenseBytes(index, out);
}

Status BlockReader::State::ReadCodes(uint32_t index, tsext::CodeVector &out) {
  auto *dictionary = std::get_if<DictionaryStream>(&stream);
  if (dictionary == nullptr) return Status::Invalid("the block has no dictionary");
  if (null_form == NullForm::kDense) {
    return ReadDenseNumbers(index, out.nulls, out.codes.data(), [&](uint32_t i, uint32_t *codes) {
      return dictionary->DecodeCodes(i, codes);
    });
  }
  TSEXT_RETURN_IF_ERROR(dictionary->DecodeCodes(index, out.codes.data()));
  if (out.any_null) ForEachNull(out.nulls, [&](uint32_t row) { out.codes[row] = 0; });
  return Status::Ok();
}

BlockReader::BlockReader(std::pmr::memory_resource *memory) : memory_(memory) {
  state_ = std::pmr::polymorphic_allocator<>(memory).new_object<State>(memory);
}

BlockReader::~BlockReader() {
  std::pmr::polymorphic_allocator<>(memory_).delete_object(state_);
}

Status BlockReader::Open(const SegmentHead &head, uint32_t column, ByteSpan block) {
  state_->is_open = false;
  state_->bytes_stream = nullptr;
  state_->stream.emplace<std::monostate>();
  if (column >= head.columns().size()) return Status::Invalid("the segment has no such column");
  const ColumnFooter &footer = head.columns()[column];
  if (block.size() != footer.length || block.size() < kBlockHeadSize)
    return Status::Corrupt("the block's length is not what the footer says");
  if (Crc32c(block) != footer.checksum)
    return Status::Corrupt("the block does not match its checksum");
  state_->type = footer.type;
  state_->width = footer.width;
  state_->row_count = head.row_count();

  BlockHead block_head;
  std::memcpy(&block_head, block.data(), sizeof block_head);
  if (block_head.codec > BlockCodec::kPlanes || block_head.null_form > NullForm::kDense ||
      block_head.null_flags > kNullSectionIsFrame || block_head.zero != 0)
    return Status::Unsupported("the column was written by a newer version of tsext");
  if (!CodecFits(block_head.codec, footer.type))
    return Status::Corrupt("the column's codec does not fit its type");
  if ((block_head.codec == BlockCodec::kNone) != (block_head.null_form == NullForm::kAll))
    return Status::Corrupt("the block's codec does not fit its nulls");
  const ByteSpan body = block.subspan(kBlockHeadSize);
  const uint64_t stream_at = AlignUp(block_head.null_size, 8);
  if (block_head.null_size > body.size() ||
      (block_head.codec != BlockCodec::kNone && stream_at > body.size()))
    return Status::Corrupt("the null section is too long");
  TSEXT_RETURN_IF_ERROR(state_->OpenNulls(block_head, body.first(block_head.null_size)));
  const ByteSpan stream = stream_at < body.size() ? body.subspan(stream_at) : ByteSpan{};
  TSEXT_RETURN_IF_ERROR(state_->OpenStream(block_head.codec, stream, state_->stream_count));
  state_->is_open = true;
  return Status::Ok();
}

Status BlockReader::Read(uint32_t index, Vector &out) {
  if (!state_->is_open || index >= VectorCount(state_->row_count))
    return Status::Invalid("the block has no such vector");
  out.type = state_->type;
  out.count = ValuesInVector(index, state_->row_count);
  out.any_null = false;
  switch (state_->null_form) {
    case NullForm::kNone:
      return state_->ReadFilled(index, out);
    case NullForm::kAll:
      out.any_null = true;
      out.nulls.fill(0);
      for (uint32_t row = 0; row < out.count; row++)
        out.nulls[row / 64] |= uint64_t{1} << (row % 64);
      if (IsBytes(out.type)) std::fill_n(out.bytes.begin(), out.count, ByteView{});
      return Status::Ok();
    case NullForm::kFilled:
    case NullForm::kDense:
      out.any_null = state_->nulls.Count(index) > 0;
      state_->nulls.Read(index, out.nulls);
      break;
  }
  return state_->null_form == NullForm::kFilled ? state_->ReadFilled(index, out)
                                                : state_->ReadDense(index, out);
}

std::span<const ByteView> BlockReader::Dictionary() const noexcept {
  const auto *dictionary = std::get_if<DictionaryStream>(&state_->stream);
  return state_->is_open && dictionary != nullptr ? dictionary->values()
                                                  : std::span<const ByteView>();
}

Status BlockReader::ReadCodes(uint32_t index, CodeVector &out) {
  if (!state_->is_open || index >= VectorCount(state_->row_count))
    return Status::Invalid("the block has no such vector");
  out.count = ValuesInVector(index, state_->row_count);
  out.any_null = false;
  if (state_->null_form == NullForm::kFilled || state_->null_form == NullForm::kDense) {
    out.any_null = state_->nulls.Count(index) > 0;
    state_->nulls.Read(index, out.nulls);
  }
  return state_->ReadCodes(index, out);
}

Status BlockReader::ReadRuns(std::pmr::vector<ValueRun> &runs) {
  runs.clear();
  if (!state_->is_open) return Status::Invalid("the block is not open");
  if (state_->null_form != NullForm::kNone) return Status::Ok();
  if (const auto *dictionary = std::get_if<DictionaryStream>(&state_->stream))
    return dictionary->FindCodeRuns(runs);
  if (const auto *integers = std::get_if<IntegerStream>(&state_->stream)) integers->FindRuns(runs);
  return Status::Ok();
}

const char *BlockReader::EncodingName() const noexcept {
  const State::Streams &stream = state_->stream;
  if (state_->bytes_stream != nullptr) return state_->bytes_stream->EncodingName();
  if (const auto *integers = std::get_if<IntegerStream>(&stream)) return integers->EncodingName();
  if (const auto *doubles = std::get_if<FloatStream<double>>(&stream))
    return doubles->EncodingName();
  if (const auto *floats = std::get_if<FloatStream<float>>(&stream)) return floats->EncodingName();
  return "null";
}

}  // namespace tsext
