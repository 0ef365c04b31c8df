#include "tsext/integer_codec.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <string_view>

#include "core/codec/bit_stream.hpp"
#include "core/codec/distinct_values.hpp"
#include "core/codec/integer_layout.hpp"
#include "core/codec/kernel_table.hpp"
#include "core/codec/patched.hpp"
#include "core/codec/zstd_frame.hpp"
#include "core/vector/vector_kernels.hpp"

namespace tsext {

// ---- writing ----

namespace {

using Integers = std::pmr::vector<int64_t>;

/// COLD must save this much over HOT to be worth its decoding.
constexpr size_t kColdSavingPercent = 4;
/// Runs that cost less than this many bits a value are taken without looking further.
constexpr uint32_t kRowsPerCheapJump = 512;

/// The values' greatest common divisor after taking off the first, with the quotients in `values`;
/// they are unchanged when it is 1.
Scaling DivideByGcd(std::span<int64_t> values) {
  const auto at = [&](size_t i) { return static_cast<uint64_t>(values[i]); };
  const auto min = static_cast<uint64_t>(*std::min_element(values.begin(), values.end()));
  uint64_t divisor = 0;
  for (size_t i = 0; i < values.size() && divisor != 1; i++) {
    const uint64_t distance = at(i) - min;
    // A division a value is slow; most values are multiples of what the ones before had in common.
    if (divisor == 0 || distance % divisor != 0) divisor = std::gcd(divisor, distance);
  }
  if (divisor <= 1) return {};
  for (int64_t &value : values)
    value = static_cast<int64_t>((static_cast<uint64_t>(value) - min) / divisor);
  return {.scale = divisor, .offset = min};
}

void AppendPlain(ByteBuffer &out, Integers &values, uint32_t count, Level level, Scaling scaling) {
  const size_t begin = out.size();
  AppendVectors(out, values, count, scaling);
  if (level != Level::kCold) return;
  ByteBuffer planes(out.get_allocator());
  if (AppendPlanes(planes, values, count, scaling) &&
      planes.size() * 100 <= (out.size() - begin) * (100 - kColdSavingPercent)) {
    out.resize(begin);
    AppendBytes(out, planes);
  }
}

void PadToVector(Integers &values) {
  const size_t whole = (values.size() + kVectorSize - 1) / kVectorSize * kVectorSize;
  values.resize(whole, values.back());
}

/// A stream without dictionary. values: padded.
void AppendNumbers(ByteBuffer &out, Integers &values, uint32_t count, Level level) {
  const size_t begin = out.size();
  const bool runs = AppendRuns(out, values, count, count / 16);
  const size_t runs_size = out.size() - begin;
  if (runs && runs_size <= 64 + size_t{count} / kRowsPerCheapJump * 10) return;
  const Scaling scaling = DivideByGcd(values);
  AppendPlain(out, values, count, level, scaling);
  const size_t plain_size = out.size() - begin - runs_size;
  if (!runs) return;
  if (runs_size <= plain_size) {
    out.resize(begin + runs_size);
  } else {
    out.erase(out.begin() + static_cast<ptrdiff_t>(begin),
              out.begin() + static_cast<ptrdiff_t>(begin + runs_size));
  }
}

/// Which code a distinct value gets.
enum class CodeOrder { kValue, kFrequency };

/// Bits that codes by frequency take without differences: a window from 0 on, the rest patched.
size_t FrequencyCost(std::span<const uint32_t> descending_counts, uint32_t count) {
  constexpr size_t kPositionBits = 8;
  const auto full = static_cast<size_t>(std::bit_width(descending_counts.size() - 1));
  size_t best = count * full;
  size_t inside = 0;
  size_t next = 0;
  for (size_t width = 0; width < full; width++) {
    for (; next < std::min(size_t{1} << width, descending_counts.size()); next++)
      inside += descending_counts[next];
    best = std::min(best, count * width + (count - inside) * (kPositionBits + full - width + 1));
  }
  return best;
}

void AppendDictionary(ByteBuffer &out, const DistinctValues &distinct, CodeOrder code_order,
                      Level level) {
  std::pmr::memory_resource *memory = out.get_allocator().resource();
  Integers entries(memory);
  Integers codes(memory);
  distinct.Arrange(code_order == CodeOrder::kFrequency, entries, codes);
  const auto entry_count = static_cast<uint32_t>(entries.size());
  const auto count = static_cast<uint32_t>(codes.size());
  PadToVector(entries);
  PadToVector(codes);
  Append(out, IntegerLayout::kDictionary);
  Append(out, entry_count);
  const size_t size_at = out.size();
  Append(out, uint32_t{0});
  AppendNumbers(out, entries, entry_count, level);
  const auto size = static_cast<uint32_t>(out.size() - size_at - sizeof(uint32_t));
  std::memcpy(out.data() + size_at, &size, sizeof size);
  AppendNumbers(out, codes, count, level);
}

}  // namespace

void EncodeIntegers(std::span<const int64_t> values, Level level, ByteBuffer &out) {
  std::pmr::memory_resource *memory = out.get_allocator().resource();
  const auto count = static_cast<uint32_t>(values.size());
  const size_t begin = out.size();
  Integers padded(memory);
  padded.reserve(values.size() + kVectorSize);
  padded.assign(values.begin(), values.end());
  PadToVector(padded);
  AppendNumbers(out, padded, count, level);
  const size_t size = out.size() - begin;
  if (size * 8 <= count || !DistinctValues::FewLikely(padded, count, memory)) return;
  DistinctValues distinct(memory);
  if (!distinct.Collect(values, count / 2)) return;
  ByteBuffer dictionary(memory);
  size_t best = size;
  const auto keep_smaller = [&] {
    if (dictionary.size() < best) {
      out.resize(begin);
      AppendBytes(out, dictionary);
      best = dictionary.size();
    }
    dictionary.clear();
  };
  AppendDictionary(dictionary, distinct, CodeOrder::kValue, level);
  keep_smaller();
  if (FrequencyCost(distinct.DescendingCounts(), count) < best * 8) {
    AppendDictionary(dictionary, distinct, CodeOrder::kFrequency, level);
    keep_smaller();
  }
}

// ---- reading ----

Status IntegerBody::Open(ByteSpan bytes, uint32_t count) {
  if (count == 0 || count > kMaxSegmentRows)
    return Status::Invalid("an integer stream holds 1 to 61440 values");
  count_ = count;
  scaled_ = false;
  scale_ = 1;
  offset_ = 0;
  loaded_group_ = kMaxGroups;
  if (bytes.empty()) return Status::Corrupt("an integer stream is empty");
  layout_ = static_cast<uint8_t>(bytes[0]);
  switch (static_cast<IntegerLayout>(layout_)) {
    case IntegerLayout::kVectors:
      return OpenVectors(bytes.subspan(1));
    case IntegerLayout::kRuns:
      return OpenRuns(bytes.subspan(1));
    case IntegerLayout::kPlanes:
      return OpenPlanes(bytes.subspan(1));
    case IntegerLayout::kDictionary:
      return Status::Corrupt("a dictionary of integers holds another one");
  }
  return Status::Unsupported("the layout of an integer stream is unknown to this version of tsext");
}

Status IntegerBody::OpenVectors(ByteSpan bytes) {
  const Status corrupt = Status::Corrupt("the directory of an integer stream is damaged");
  ByteReader reader(bytes);
  uint8_t flags;
  if (!reader.Read(flags) || !reader.Read(exception_size_width_) || !reader.Read(base_width_) ||
      !reader.Read(delta_base_width_)) {
    return corrupt;
  }
  if ((flags & ~kScaledFlag) != 0 || exception_size_width_ > 2 || base_width_ > 8 ||
      delta_base_width_ > 8) {
    return corrupt;
  }
  scaled_ = (flags & kScaledFlag) != 0;
  if (scaled_ && (!reader.Read(scale_) || !reader.Read(offset_))) return corrupt;
  const uint32_t vectors = VectorCount();
  if (!reader.Read(base_min_) || !reader.Read(delta_base_min_) ||
      !reader.ReadBytes(vectors, modes_) ||
      !reader.ReadBytes(size_t{vectors} * exception_size_width_, exception_sizes_) ||
      !reader.ReadBytes(size_t{vectors} * base_width_, bases_) ||
      !reader.ReadBytes(size_t{vectors} * delta_base_width_, delta_bases_)) {
    return corrupt;
  }
  any_delta_ = false;
  size_t at = 0;
  for (uint32_t v = 0; v < vectors; v++) {
    const auto mode = static_cast<uint8_t>(modes_[v]);
    const unsigned width = mode & (kDeltaMode - 1U);
    if (width > 64) return corrupt;
    any_delta_ = any_delta_ || (mode & kDeltaMode) != 0;
    begins_[v] = static_cast<uint32_t>(at);
    at += PackedSize(VectorRows(v), width) + LoadNarrow(exception_sizes_, v, exception_size_width_);
  }
  begins_[vectors] = static_cast<uint32_t>(at);
  if (at != reader.remaining()) return corrupt;
  payload_ = bytes.subspan(reader.position());
  return Status::Ok();
}

Status IntegerBody::OpenRuns(ByteSpan bytes) {
  const Status corrupt = Status::Corrupt("the runs of an integer stream are damaged");
  ByteReader reader(bytes);
  uint16_t jumps;
  if (!reader.Read(jump_width_) || !reader.Read(jumps) || !reader.Read(first_) ||
      !reader.Read(step_) || jump_width_ > 8 || jumps >= count_) {
    return corrupt;
  }
  jump_count_ = jumps;
  if (!reader.ReadBytes(size_t{jumps} * sizeof(uint16_t), jump_positions_) ||
      !reader.ReadBytes(size_t{jumps} * jump_width_, payload_) || reader.remaining() != 0) {
    return corrupt;
  }
  uint32_t jump = 0;
  uint32_t next_row = 1;
  uint64_t sum = 0;
  for (uint32_t v = 0; v < VectorCount(); v++) {
    jump_begins_[v] = static_cast<uint16_t>(jump);
    jump_sums_[v] = sum;
    for (; jump < jump_count_; jump++) {
      const auto row = static_cast<uint32_t>(LoadNarrow(jump_positions_, jump, sizeof(uint16_t)));
      if (row < next_row || row >= count_) return corrupt;
      if (row >= (v + 1) * kVectorSize) break;
      next_row = row + 1;
      sum += UnZigZag(LoadNarrow(payload_, jump, jump_width_));
    }
  }
  return Status::Ok();
}

Status IntegerBody::OpenPlanes(ByteSpan bytes) {
  const Status corrupt = Status::Corrupt("the groups of an integer stream are damaged");
  ByteReader reader(bytes);
  uint8_t flags;
  if (!reader.Read(flags) || (flags & ~kScaledFlag) != 0) return corrupt;
  scaled_ = (flags & kScaledFlag) != 0;
  if (scaled_ && (!reader.Read(scale_) || !reader.Read(offset_))) return corrupt;
  const uint32_t groups = (VectorCount() + kVectorsPerGroup - 1) / kVectorsPerGroup;
  if (!reader.ReadBytes(groups * kGroupHeadSize, group_heads_)) return corrupt;
  size_t at = 0;
  for (uint32_t group = 0; group < groups; group++) {
    const std::byte *head = group_heads_.data() + group * kGroupHeadSize;
    if ((static_cast<uint8_t>(head[0]) & ~(kGroupDelta | kGroupRows | kGroupZigZag)) != 0 ||
        static_cast<uint8_t>(head[1]) > 8) {
      return corrupt;
    }
    group_begins_[group] = static_cast<uint32_t>(at);
    at += LoadUnaligned<uint32_t>(head + 2);
    if (at > reader.remaining()) return corrupt;
  }
  group_begins_[groups] = static_cast<uint32_t>(at);
  if (at != reader.remaining()) return corrupt;
  payload_ = bytes.subspan(reader.position());
  return Status::Ok();
}

PackedVector IntegerBody::VectorAt(uint32_t index) const noexcept {
  const auto mode = static_cast<uint8_t>(modes_[index]);
  PackedVector vector;
  vector.rows = VectorRows(index);
  vector.width = mode & (kDeltaMode - 1U);
  vector.delta = (mode & kDeltaMode) != 0;
  const size_t words = PackedSize(vector.rows, vector.width);
  vector.words = payload_.subspan(begins_[index], words);
  vector.exceptions =
      payload_.subspan(begins_[index] + words, begins_[index + 1] - begins_[index] - words);
  vector.base = base_min_ + LoadNarrow(bases_, index, base_width_);
  vector.delta_base = delta_base_min_ + LoadNarrow(delta_bases_, index, delta_base_width_);
  return vector;
}

bool IntegerBody::Find(uint32_t index, PackedVector &vector) const noexcept {
  if (layout_ != static_cast<uint8_t>(IntegerLayout::kVectors) || scaled_ || index >= VectorCount())
    return false;
  vector = VectorAt(index);
  return true;
}

template <typename Take>
void IntegerBody::ForEachRun(uint32_t index, const Take &take) const noexcept {
  const uint32_t row = index * kVectorSize;
  const uint32_t rows = VectorRows(index);
  uint64_t start = first_ + step_ * row + jump_sums_[index];
  uint32_t at = 0;
  uint32_t jump = jump_begins_[index];
  while (at < rows) {
    const uint32_t next =
        jump < jump_count_
            ? static_cast<uint32_t>(LoadNarrow(jump_positions_, jump, sizeof(uint16_t))) - row
            : rows;
    const uint32_t end = std::min(next, rows);
    take(at, end, start + step_ * at);
    at = end;
    if (next < rows) start += UnZigZag(LoadNarrow(payload_, jump++, jump_width_));
  }
}

void IntegerBody::FindRuns(std::pmr::vector<ValueRun> &runs) const {
  if (static_cast<IntegerLayout>(layout_) != IntegerLayout::kRuns || step_ != 0) return;
  runs.reserve(jump_count_ + size_t{1});
  uint64_t value = first_;
  runs.push_back({0, static_cast<int64_t>(value)});
  for (uint32_t jump = 0; jump < jump_count_; jump++) {
    const auto row = static_cast<uint32_t>(LoadNarrow(jump_positions_, jump, sizeof(uint16_t)));
    value += UnZigZag(LoadNarrow(payload_, jump, jump_width_));
    runs.push_back({row, static_cast<int64_t>(value)});
  }
}

Status IntegerBody::LoadGroup(uint32_t group) {
  if (loaded_group_ == group) return Status::Ok();
  loaded_group_ = kMaxGroups;
  const uint32_t first_row = group * kVectorsPerGroup * kVectorSize;
  const uint32_t rows = std::min(kVectorsPerGroup * kVectorSize, count_ - first_row);
  const std::byte *head = group_heads_.data() + group * kGroupHeadSize;
  const auto mode = static_cast<uint8_t>(head[0]);
  const auto width = static_cast<unsigned>(head[1]);
  const auto base = LoadUnaligned<uint64_t>(head + 6);
  const auto first = LoadUnaligned<uint64_t>(head + 14);
  const ByteSpan frame =
      payload_.subspan(group_begins_[group], group_begins_[group + 1] - group_begins_[group]);

  // Values first, then as many bytes for the frame's content: one piece of memory.
  group_.resize(size_t{kVectorsPerGroup} * kVectorSize * 2);
  const std::span<std::byte> bytes(
      reinterpret_cast<std::byte *>(group_.data() + kVectorsPerGroup * kVectorSize),
      size_t{rows} * width);
  if (width == 0 ? !frame.empty() : !ReadZstdFrame(frame, bytes))
    return Status::Corrupt("a compressed group of integers is damaged");
  auto *values = reinterpret_cast<uint64_t *>(group_.data());
  if ((mode & kGroupRows) != 0) {
    for (uint32_t i = 0; i < rows; i++) values[i] = LoadNarrow(bytes, i, width);
  } else {
    std::fill_n(values, rows, 0);
    for (unsigned plane = 0; plane < width; plane++) {
      const std::byte *from = bytes.data() + size_t{plane} * rows;
      for (uint32_t i = 0; i < rows; i++)
        values[i] |= static_cast<uint64_t>(from[i]) << (8 * plane);
    }
  }
  if ((mode & kGroupDelta) != 0) {
    values[0] = first;
    if ((mode & kGroupZigZag) != 0)
      for (uint32_t i = 1; i < rows; i++) values[i] = UnZigZag(values[i]);
    for (uint32_t i = 1; i < rows; i++) values[i] += values[i - 1] + base;
  } else {
    for (uint32_t i = 0; i < rows; i++) values[i] += base;
  }
  loaded_group_ = group;
  return Status::Ok();
}

Status IntegerBody::Decode(uint32_t index, int64_t *out) {
  if (index >= VectorCount()) return Status::Invalid("an integer stream has no such vector");
  switch (static_cast<IntegerLayout>(layout_)) {
    case IntegerLayout::kVectors:
      TSEXT_RETURN_IF_ERROR(DecodeVector(VectorAt(index), out));
      break;
    case IntegerLayout::kRuns:
      ForEachRun(index, [&](uint32_t begin, uint32_t end, uint64_t first) {
        CurrentVectorKernels().progress(first, step_, end - begin,
                                        reinterpret_cast<uint64_t *>(out) + begin);
      });
      return Status::Ok();
    default:
      TSEXT_RETURN_IF_ERROR(LoadGroup(index / kVectorsPerGroup));
      std::memcpy(out, group_.data() + size_t{index % kVectorsPerGroup} * kVectorSize,
                  kVectorSize * sizeof *out);
      break;
  }
  if (scaled_) {
    auto *values = reinterpret_cast<uint64_t *>(out);
    Kernels().scale(values, scale_, offset_);
  }
  return Status::Ok();
}

Status IntegerBody::DecodeCodes(uint32_t index, uint32_t bound, uint32_t *out) {
  if (index >= VectorCount()) return Status::Invalid("an integer stream has no such vector");
  const Status corrupt = Status::Corrupt("a dictionary code is out of range");
  if (static_cast<IntegerLayout>(layout_) == IntegerLayout::kRuns && step_ == 0) {
    bool in_range = true;
    ForEachRun(index, [&](uint32_t begin, uint32_t end, uint64_t code) {
      in_range = in_range && code < bound;
      std::fill(out + begin, out + end, static_cast<uint32_t>(code));
    });
    return in_range ? Status::Ok() : corrupt;
  }
  const uint32_t rows = VectorRows(index);
  PackedVector vector;
  if (Find(index, vector) && !vector.delta && vector.exceptions.empty() &&
      vector.width <= kMaxLane32Width && vector.base < bound) {
    alignas(64) std::byte buffer[kVectorSize * sizeof(uint32_t)];
    Kernels().unpack[vector.width](WholeWords(vector, buffer), out);
    // Codes below this stay below the bound when the base is added.
    const auto code_bound = static_cast<uint32_t>(bound - vector.base);
    const auto base = static_cast<uint32_t>(vector.base);
    uint32_t largest = 0;
    for (uint32_t i = 0; i < rows; i++) {
      largest = std::max(largest, out[i]);
      out[i] += base;
    }
    return largest < code_bound ? Status::Ok() : corrupt;
  }
  alignas(64) int64_t wide[kVectorSize];
  TSEXT_RETURN_IF_ERROR(Decode(index, wide));
  uint64_t largest = 0;
  for (uint32_t i = 0; i < rows; i++) {
    const auto code = static_cast<uint64_t>(wide[i]);
    largest = std::max(largest, code);
    out[i] = static_cast<uint32_t>(code);
  }
  return largest < bound ? Status::Ok() : corrupt;
}

const char *IntegerBody::EncodingName() const noexcept {
  switch (static_cast<IntegerLayout>(layout_)) {
    case IntegerLayout::kVectors:
      return any_delta_ ? "delta-for" : "for";
    case IntegerLayout::kRuns:
      return jump_count_ == 0 && step_ == 0 ? "constant" : "regular";
    default:
      return "for+zstd";
  }
}

Status IntegerStream::Open(ByteSpan bytes, uint32_t count) {
  dictionary_.clear();
  if (bytes.empty() || static_cast<IntegerLayout>(bytes[0]) != IntegerLayout::kDictionary)
    return body_.Open(bytes, count);
  const Status corrupt = Status::Corrupt("the dictionary of an integer stream is damaged");
  ByteReader reader(bytes.subspan(1));
  uint32_t distinct;
  uint32_t size;
  ByteSpan entries;
  if (!reader.Read(distinct) || !reader.Read(size) || distinct == 0 || distinct > count ||
      !reader.ReadBytes(size, entries)) {
    return corrupt;
  }
  // The body serves for the entries first, then for the codes.
  TSEXT_RETURN_IF_ERROR(body_.Open(entries, distinct));
  const uint32_t vectors = (distinct + kVectorSize - 1) / kVectorSize;
  dictionary_.resize(size_t{vectors} * kVectorSize);
  for (uint32_t v = 0; v < vectors; v++) {
    TSEXT_RETURN_IF_ERROR(
        body_.Decode(v, reinterpret_cast<int64_t *>(dictionary_.data() + size_t{v} * kVectorSize)));
  }
  dictionary_.resize(distinct);
  return body_.Open(bytes.subspan(1 + reader.position()), count);
}

Status IntegerStream::Decode(uint32_t index, int64_t *out) {
  if (dictionary_.empty()) return body_.Decode(index, out);
  alignas(64) int64_t codes[kVectorSize];
  TSEXT_RETURN_IF_ERROR(body_.Decode(index, codes));
  const uint32_t rows = std::min(kVectorSize, count() - index * kVectorSize);
  for (uint32_t i = rows; i < kVectorSize; i++) codes[i] = 0;
  int64_t min;
  int64_t max;
  Kernels().minmax(codes, &min, &max);
  if (min < 0 || static_cast<uint64_t>(max) >= dictionary_.size())
    return Status::Corrupt("a code is outside its dictionary");
  Kernels().gather(reinterpret_cast<const uint64_t *>(codes), dictionary_.data(),
                   reinterpret_cast<uint64_t *>(out));
  return Status::Ok();
}

Status IntegerStream::DecodeCodes(uint32_t index, uint32_t bound, uint32_t *out) {
  if (dictionary_.empty()) return body_.DecodeCodes(index, bound, out);
  alignas(64) int64_t codes[kVectorSize];
  TSEXT_RETURN_IF_ERROR(Decode(index, codes));
  const uint32_t rows = std::min(kVectorSize, count() - index * kVectorSize);
  for (uint32_t i = 0; i < rows; i++) {
    if (static_cast<uint64_t>(codes[i]) >= bound)
      return Status::Corrupt("a dictionary code is out of range");
    out[i] = static_cast<uint32_t>(codes[i]);
  }
  return Status::Ok();
}

const char *IntegerStream::EncodingName() const noexcept {
  if (dictionary_.empty()) return body_.EncodingName();
  return body_.EncodingName() == std::string_view("for+zstd") ? "dictionary+zstd" : "dictionary";
}

}  // namespace tsext
