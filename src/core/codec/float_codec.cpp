#include "tsext/float_codec.hpp"

#include <algorithm>
#include <bit>
#include <string_view>

#include "core/codec/alp.hpp"
#include "core/codec/bit_stream.hpp"
#include "core/codec/distinct_values.hpp"
#include "core/codec/kernel_table.hpp"
#include "core/codec/patched.hpp"

namespace tsext {

namespace {

/// First byte of a float stream; src/core/README.md, "Float stream". Values are on disk: append,
/// never renumber.
enum class FloatLayout : uint8_t {
  kAlp = 1,
  kBits = 2,        ///< the bit pattern, made to sort as an integer
  kSplit = 3,       ///< the bit pattern in two streams: high and low parts
  kDictionary = 4,  ///< two streams: distinct values, and codes
};
/// Added to the layout when doubles are stored as floats.
constexpr uint8_t kNarrowFlag = 0x80;
/// Above this many bits a value ALP is compared with the other layouts.
constexpr size_t kAlpCertainBits = 20;

template <typename T>
using BitsOfFloat = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

/// The bit pattern as an integer of the same order (-0 below 0, NaNs at both ends); its own
/// inverse.
int64_t Sortable(double value) noexcept {
  const auto bits = std::bit_cast<int64_t>(value);
  return bits ^ static_cast<int64_t>(static_cast<uint64_t>(bits >> 63) >> 1);
}
int64_t Sortable(float value) noexcept {
  const auto bits = std::bit_cast<int32_t>(value);
  return bits ^ static_cast<int32_t>(static_cast<uint32_t>(bits >> 31) >> 1);
}
void FromSortable(int64_t integer, double &value) noexcept {
  value = std::bit_cast<double>(integer ^
                                static_cast<int64_t>(static_cast<uint64_t>(integer >> 63) >> 1));
}
void FromSortable(int64_t integer, float &value) noexcept {
  const auto bits = static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint64_t>(integer)));
  value = std::bit_cast<float>(bits ^ static_cast<int32_t>(static_cast<uint32_t>(bits >> 31) >> 1));
}

// ---- writing ----

using Integers = std::pmr::vector<int64_t>;

uint32_t EncodeAlp(const double *values, AlpPowers powers, int64_t *integers, uint8_t *bad) {
  return Kernels().alp_encode(values, EncodeScale(powers), DecodeScale(powers), integers, bad);
}
uint32_t EncodeAlp(const float *values, AlpPowers powers, int64_t *integers, uint8_t *bad) {
  return Kernels().alp_encode_float(values, EncodeScale(powers), DecodeScale(powers), integers,
                                    bad);
}

/// Appends the exceptions of one vector and puts a neighbour's integer into their places.
template <typename T>
void AppendExceptions(ByteBuffer &out, std::span<const T> values, const uint8_t *bad,
                      int64_t *integers) {
  uint16_t positions[kVectorSize];
  uint32_t count = 0;
  uint32_t first_good = 0;
  while (first_good < values.size() && bad[first_good] != 0) first_good++;
  int64_t last = first_good < values.size() ? integers[first_good] : 0;
  for (uint32_t i = 0; i < values.size(); i++) {
    if (bad[i] != 0) {
      positions[count++] = static_cast<uint16_t>(i);
      integers[i] = last;
    }
    last = integers[i];
  }
  if (count == 0) return;
  const auto rows = static_cast<uint32_t>(values.size());
  size_t position_bytes;
  const PositionForm form = ChoosePositionForm({positions, count}, rows, position_bytes);
  Append(out, static_cast<uint16_t>(count | (form == PositionForm::kBitmap ? 0x8000U : 0U)));
  AppendPositions(out, {positions, count}, rows, form);
  for (uint32_t i = 0; i < count; i++) Append(out, values[positions[i]]);
}

/// Returns the bytes of the exceptions.
template <typename T>
size_t AppendAlp(ByteBuffer &out, std::span<const T> values, const AlpChoice &choice, Level level) {
  const auto count = static_cast<uint32_t>(values.size());
  const uint32_t vectors = (count + kVectorSize - 1) / kVectorSize;
  Integers integers(size_t{vectors} * kVectorSize, out.get_allocator());
  ByteBuffer exceptions(out.get_allocator());
  std::array<uint8_t, kMaxVectorsPerSegment> chosen{};
  std::array<uint16_t, kMaxVectorsPerSegment> sizes{};
  bool several = false;
  for (uint32_t v = 0; v < vectors; v++) {
    const size_t begin = size_t{v} * kVectorSize;
    const auto vector = values.subspan(begin, std::min(size_t{kVectorSize}, count - begin));
    alignas(64) T padded[kVectorSize];
    alignas(64) uint8_t bad[kVectorSize];
    const T *source = vector.data();
    if (vector.size() < kVectorSize) {
      std::copy(vector.begin(), vector.end(), padded);
      std::fill(padded + vector.size(), padded + kVectorSize, vector.back());
      source = padded;
    }
    uint32_t power = 0;
    uint32_t bad_count = EncodeAlp(source, choice.powers[0], integers.data() + begin, bad);
    if (bad_count > kVectorSize / 64 && choice.power_count > 1) {
      power = ChooseAlpForVector(vector, choice);
      if (power != 0)
        bad_count = EncodeAlp(source, choice.powers[power], integers.data() + begin, bad);
    }
    chosen[v] = static_cast<uint8_t>(power);
    several = several || power != 0;
    if (bad_count == 0) continue;
    const size_t exceptions_begin = exceptions.size();
    AppendExceptions(exceptions, vector, bad, integers.data() + begin);
    sizes[v] = static_cast<uint16_t>(exceptions.size() - exceptions_begin);
  }

  const uint32_t power_count = several ? choice.power_count : 1;
  Append(out, FloatLayout::kAlp);
  Append(out, static_cast<uint8_t>(power_count | (exceptions.empty() ? 0U : 0x80U)));
  for (uint32_t i = 0; i < power_count; i++) {
    Append(out, choice.powers[i].exponent);
    Append(out, choice.powers[i].factor);
  }
  if (several)
    for (uint32_t v = 0; v < vectors; v++) Append(out, chosen[v]);
  if (!exceptions.empty()) {
    for (uint32_t v = 0; v < vectors; v++) Append(out, sizes[v]);
    AppendBytes(out, exceptions);
  }
  integers.resize(count);
  EncodeIntegers(integers, level, out);
  return exceptions.size();
}

template <typename T>
void AppendSortable(ByteBuffer &out, std::span<const T> values, Level level) {
  Integers integers(values.size(), out.get_allocator());
  for (size_t i = 0; i < values.size(); i++) integers[i] = Sortable(values[i]);
  Append(out, FloatLayout::kBits);
  EncodeIntegers(integers, level, out);
}

/// Splits where the high parts of a sample become few, as ALP-RD does; for mixed signs and
/// exponents with random mantissas.
template <typename T>
void AppendSplit(ByteBuffer &out, std::span<const T> values, Level level) {
  using Bits = BitsOfFloat<T>;
  constexpr unsigned kBits = sizeof(T) * 8;
  constexpr unsigned kMaxHighBits = 16;
  constexpr size_t kSample = 256;
  constexpr size_t kFewParts = 8;
  std::array<Bits, kSample> sample;
  const size_t sampled = std::min(kSample, values.size());
  for (size_t i = 0; i < sampled; i++)
    sample[i] = std::bit_cast<Bits>(values[i * values.size() / sampled]);
  std::sort(sample.begin(), sample.begin() + static_cast<ptrdiff_t>(sampled));
  unsigned low_width = kBits - 1;
  for (unsigned width = kBits - 1; width >= kBits - kMaxHighBits; width--) {
    size_t parts = 1;
    for (size_t i = 1; i < sampled; i++)
      parts += (sample[i] >> width) != (sample[i - 1] >> width) ? 1U : 0U;
    if (parts > kFewParts) break;
    low_width = width;
  }
  Integers high(values.size(), out.get_allocator());
  Integers low(values.size(), out.get_allocator());
  for (size_t i = 0; i < values.size(); i++) {
    const uint64_t bits = std::bit_cast<Bits>(values[i]);
    high[i] = static_cast<int64_t>(bits >> low_width);
    low[i] = static_cast<int64_t>(bits & LowBits(low_width));
  }
  Append(out, FloatLayout::kSplit);
  Append(out, static_cast<uint8_t>(low_width));
  const size_t size_at = out.size();
  Append(out, uint32_t{0});
  EncodeIntegers(high, level, out);
  const auto size = static_cast<uint32_t>(out.size() - size_at - sizeof(uint32_t));
  std::memcpy(out.data() + size_at, &size, sizeof size);
  EncodeIntegers(low, level, out);
}

/// The doubles as floats; false when some are not.
bool Narrow(std::span<const double> values, std::pmr::vector<float> &floats) {
  floats.resize(values.size());
  for (size_t begin = 0; begin < values.size(); begin += kVectorSize) {
    const size_t end = std::min(begin + kVectorSize, values.size());
    uint64_t lost = 0;
    for (size_t i = begin; i < end; i++) {
      // A conversion out of range gives infinity in IEEE 754 arithmetic, which is then not equal.
      floats[i] = static_cast<float>(values[i]);
      lost |= std::bit_cast<uint64_t>(static_cast<double>(floats[i])) ^
              std::bit_cast<uint64_t>(values[i]);
    }
    if (lost != 0) return false;
  }
  return true;
}

/// Whether the writer may use a dictionary: its entries must not have one again.
enum class Dictionary { kAllowed, kForbidden };

template <typename T>
void AppendFloats(ByteBuffer &out, std::span<const T> values, Level level, const AlpChoice &choice,
                  Dictionary dictionary);

/// False, with nothing appended, when the values are not few enough.
template <typename T>
bool AppendDictionary(ByteBuffer &out, std::span<const T> values, Level level) {
  std::pmr::memory_resource *memory = out.get_allocator().resource();
  const auto count = static_cast<uint32_t>(values.size());
  Integers patterns(values.size(), memory);
  for (size_t i = 0; i < values.size(); i++) patterns[i] = Sortable(values[i]);
  DistinctValues distinct(memory);
  if (!DistinctValues::FewLikely(patterns, count, memory) ||
      !distinct.Collect(patterns, count / 2)) {
    return false;
  }
  Integers entries(memory);
  Integers codes(memory);
  distinct.Arrange(false, entries, codes);
  std::pmr::vector<T> floats(entries.size(), memory);
  for (size_t i = 0; i < entries.size(); i++) FromSortable(entries[i], floats[i]);
  Append(out, FloatLayout::kDictionary);
  Append(out, static_cast<uint32_t>(entries.size()));
  const size_t size_at = out.size();
  Append(out, uint32_t{0});
  const std::span<const T> span(floats);
  AppendFloats(out, span, level, ChooseAlp(span), Dictionary::kForbidden);
  const auto size = static_cast<uint32_t>(out.size() - size_at - sizeof(uint32_t));
  std::memcpy(out.data() + size_at, &size, sizeof size);
  EncodeIntegers(codes, level, out);
  return true;
}

/// Appends the smallest of the layouts that may suit.
template <typename T>
void AppendFloats(ByteBuffer &out, std::span<const T> values, Level level, const AlpChoice &choice,
                  Dictionary dictionary) {
  const size_t begin = out.size();
  size_t exception_bytes = 0;
  if (choice.power_count > 0) {
    exception_bytes = AppendAlp(out, values, choice, level);
    const size_t size = out.size() - begin;
    if (size * 8 <= kAlpCertainBits * values.size() && exception_bytes * 16 <= size) return;
  }
  ByteBuffer other(out.get_allocator());
  const auto keep_smaller = [&] {
    if (out.size() == begin || other.size() < out.size() - begin) {
      out.resize(begin);
      AppendBytes(out, other);
    }
    other.clear();
  };
  if (dictionary == Dictionary::kAllowed && AppendDictionary(other, values, level)) keep_smaller();
  if (choice.power_count > 0 && (out.size() - begin) * 8 <= kAlpCertainBits * values.size()) return;
  AppendSortable(other, values, level);
  keep_smaller();
  if ((out.size() - begin) * 4 < values.size() * sizeof(T) * 3) return;
  AppendSplit(other, values, level);
  keep_smaller();
}

}  // namespace

void EncodeDoubles(std::span<const double> values, Level level, ByteBuffer &out) {
  const AlpChoice choice = ChooseAlp(values);
  const size_t begin = out.size();
  std::pmr::vector<float> floats(out.get_allocator());
  const bool narrow = choice.bits_per_value > double{kAlpCertainBits} && Narrow(values, floats);
  if (narrow) {
    const std::span<const float> span(floats);
    AppendFloats(out, span, level, ChooseAlp(span), Dictionary::kAllowed);
    out[begin] |= std::byte{kNarrowFlag};
    return;
  }
  AppendFloats(out, values, level, choice, Dictionary::kAllowed);
}

void EncodeFloats(std::span<const float> values, Level level, ByteBuffer &out) {
  AppendFloats(out, values, level, ChooseAlp(values), Dictionary::kAllowed);
}

// ---- reading ----

template <typename T>
Status FloatStream<T>::Open(ByteSpan bytes, uint32_t count) {
  if (bytes.empty()) return Status::Corrupt("a float stream is empty");
  const auto head = static_cast<uint8_t>(bytes[0]);
  narrow_ = sizeof(T) == 8 && (head & kNarrowFlag) != 0;
  layout_ = narrow_ ? static_cast<uint8_t>(head & ~kNarrowFlag) : head;
  switch (static_cast<FloatLayout>(layout_)) {
    case FloatLayout::kAlp:
      return OpenAlp(bytes.subspan(1), count);
    case FloatLayout::kBits:
      return integers_.Open(bytes.subspan(1), count);
    case FloatLayout::kSplit: {
      ByteReader reader(bytes.subspan(1));
      uint32_t size;
      ByteSpan high;
      const unsigned bits = narrow_ ? 32 : sizeof(T) * 8;
      if (!reader.Read(low_width_) || !reader.Read(size) || !reader.ReadBytes(size, high) ||
          low_width_ >= bits) {
        return Status::Corrupt("the parts of a float stream are damaged");
      }
      TSEXT_RETURN_IF_ERROR(integers_.Open(high, count));
      return low_.Open(bytes.subspan(1 + reader.position()), count);
    }
    case FloatLayout::kDictionary:
      // NOLINTNEXTLINE(bugprone-branch-clone): alike only when T is float
      return narrow_ ? OpenDictionary<float>(bytes.subspan(1), count)
                     : OpenDictionary<T>(bytes.subspan(1), count);
  }
  return Status::Unsupported("the layout of a float stream is unknown to this version of tsext");
}

template <typename T>
Status FloatStream<T>::OpenAlp(ByteSpan bytes, uint32_t count) {
  const Status corrupt = Status::Corrupt("the head of an ALP stream is damaged");
  if (count == 0 || count > kMaxSegmentRows)
    return Status::Invalid("a float stream holds 1 to 61440 values");
  ByteReader reader(bytes);
  uint8_t head;
  if (!reader.Read(head)) return corrupt;
  scale_count_ = head & 0x7F;
  if (scale_count_ == 0 || scale_count_ > kMaxScales) return corrupt;
  for (uint32_t i = 0; i < scale_count_; i++) {
    if (!reader.Read(exponents_[i]) || !reader.Read(factors_[i]) ||
        exponents_[i] > kMaxAlpExponent || factors_[i] > exponents_[i]) {
      return corrupt;
    }
  }
  const uint32_t vectors = (count + kVectorSize - 1) / kVectorSize;
  scale_indexes_ = {};
  if (scale_count_ > 1) {
    if (!reader.ReadBytes(vectors, scale_indexes_)) return corrupt;
    for (const std::byte index : scale_indexes_)
      if (static_cast<uint8_t>(index) >= scale_count_) return corrupt;
  }
  exception_sizes_ = {};
  exceptions_ = {};
  if ((head & 0x80) != 0) {
    if (!reader.ReadBytes(vectors * sizeof(uint16_t), exception_sizes_)) return corrupt;
    uint32_t at = 0;
    for (uint32_t v = 0; v < vectors; v++) {
      exception_begins_[v] = at;
      at += LoadUnaligned<uint16_t>(exception_sizes_.data() + v * sizeof(uint16_t));
    }
    exception_begins_[vectors] = at;
    if (!reader.ReadBytes(at, exceptions_)) return corrupt;
  }
  return integers_.Open(bytes.subspan(reader.position()), count);
}

template <typename T>
template <typename U>
Status FloatStream<T>::OpenDictionary(ByteSpan bytes, uint32_t count) {
  ByteReader reader(bytes);
  uint32_t distinct;
  uint32_t size;
  ByteSpan entries;
  if (!reader.Read(distinct) || !reader.Read(size) || distinct == 0 || distinct > count ||
      !reader.ReadBytes(size, entries) || entries.empty() ||
      (static_cast<uint8_t>(entries[0]) & ~kNarrowFlag) ==
          static_cast<uint8_t>(FloatLayout::kDictionary)) {
    return Status::Corrupt("the dictionary of a float stream is damaged");
  }
  FloatStream<U> entry_stream(dictionary_.get_allocator().resource());
  TSEXT_RETURN_IF_ERROR(entry_stream.Open(entries, distinct));
  dictionary_.resize(distinct);
  alignas(64) U values[kVectorSize];
  for (uint32_t begin = 0; begin < distinct; begin += kVectorSize) {
    TSEXT_RETURN_IF_ERROR(entry_stream.Decode(begin / kVectorSize, values));
    std::copy_n(values, std::min(kVectorSize, distinct - begin), dictionary_.begin() + begin);
  }
  return integers_.Open(bytes.subspan(reader.position()), count);
}

template <typename T>
Status FloatStream<T>::DecodeDictionary(uint32_t index, T *out) {
  alignas(64) int64_t codes[kVectorSize];
  TSEXT_RETURN_IF_ERROR(integers_.Decode(index, codes));
  const uint32_t rows = std::min(kVectorSize, count() - index * kVectorSize);
  std::fill(codes + rows, codes + kVectorSize, 0);
  int64_t min;
  int64_t max;
  Kernels().minmax(codes, &min, &max);
  if (min < 0 || static_cast<uint64_t>(max) >= dictionary_.size())
    return Status::Corrupt("a code is outside its dictionary");
  for (uint32_t i = 0; i < rows; i++) out[i] = dictionary_[static_cast<size_t>(codes[i])];
  return Status::Ok();
}

template <typename T>
template <typename U>
Status FloatStream<T>::PatchExceptions(uint32_t index, U *out) const noexcept {
  if (exceptions_.empty()) return Status::Ok();
  const uint32_t begin = exception_begins_[index];
  const uint32_t size = exception_begins_[index + 1] - begin;
  if (size == 0) return Status::Ok();
  const Status corrupt = Status::Corrupt("the exceptions of an ALP vector are damaged");
  const uint32_t rows = std::min(kVectorSize, count() - index * kVectorSize);
  ByteReader reader(exceptions_.subspan(begin, size));
  uint16_t head;
  if (!reader.Read(head)) return corrupt;
  const uint32_t exception_count = head & 0x7FFF;
  const PositionForm form = (head & 0x8000) != 0 ? PositionForm::kBitmap : PositionForm::kGaps;
  uint16_t positions[kVectorSize];
  if (exception_count > rows || !ReadPositions(reader, form, rows, {positions, exception_count}) ||
      reader.remaining() != exception_count * sizeof(U)) {
    return corrupt;
  }
  const std::byte *values = exceptions_.data() + begin + reader.position();
  for (uint32_t i = 0; i < exception_count; i++)
    std::memcpy(out + positions[i], values + i * sizeof(U), sizeof(U));
  return Status::Ok();
}

namespace {

void UnpackAlp(unsigned width, const std::byte *words, double base, AlpScale scale, double *out) {
  Kernels().unpack_alp[width](words, base, scale, out);
}
void UnpackAlp(unsigned width, const std::byte *words, double base, AlpScale scale, float *out) {
  alignas(64) uint32_t codes[kVectorSize];
  Kernels().unpack[width](words, codes);
  Kernels().alp_codes_float(codes, base, scale, out);
}
void ConvertAlp(const int64_t *integers, AlpScale scale, double *out) {
  Kernels().alp(integers, scale, out);
}
void ConvertAlp(const int64_t *integers, AlpScale scale, float *out) {
  Kernels().alp_float(integers, scale, out);
}

void ConvertAlpSums(const uint32_t *sums, double base, AlpScale scale, double *out) {
  Kernels().alp_sums(sums, base, scale, out);
}
void ConvertAlpSums(const uint32_t *sums, double base, AlpScale scale, float *out) {
  Kernels().alp_sums_float(sums, base, scale, out);
}

/// The fused path is exact for bases within these.
constexpr int64_t kMaxFusedBase = int64_t{1} << 50;

}  // namespace

template <typename T>
template <typename U>
Status FloatStream<T>::DecodeAlp(uint32_t index, U *out) {
  const size_t power = scale_indexes_.empty() ? 0 : static_cast<size_t>(scale_indexes_[index]);
  const AlpScale scale = DecodeScale({.exponent = exponents_[power], .factor = factors_[power]});
  PackedVector vector;
  const bool packed = integers_.Find(index, vector);
  const auto base = static_cast<int64_t>(vector.base);
  if (packed && !vector.delta && vector.width <= kMaxLane32Width && base > -kMaxFusedBase &&
      base < kMaxFusedBase) {
    alignas(64) std::byte buffer[kVectorSize * sizeof(uint32_t)];
    UnpackAlp(vector.width, WholeWords(vector, buffer), static_cast<double>(base), scale, out);
    if (!vector.exceptions.empty()) {
      Patches patches;
      TSEXT_RETURN_IF_ERROR(ReadPatches(vector, patches));
      for (uint32_t i = 0; i < patches.count; i++) {
        const uint16_t row = patches.positions[i];
        const auto integer = static_cast<int64_t>(vector.base + SingleCode(vector, row) +
                                                  (patches.highs[i] << vector.width));
        out[row] = static_cast<U>(static_cast<double>(integer) * scale.factor * scale.inverse);
      }
    }
    return PatchExceptions(index, out);
  }
  if (packed && base > -kMaxFusedBase && base < kMaxFusedBase) {
    alignas(64) uint32_t sums[kVectorSize];
    bool fits;
    TSEXT_RETURN_IF_ERROR(DecodeDeltaSums(vector, sums, fits));
    if (fits) {
      ConvertAlpSums(sums, static_cast<double>(base), scale, out);
      return PatchExceptions(index, out);
    }
  }
  alignas(64) int64_t integers[kVectorSize];
  TSEXT_RETURN_IF_ERROR(integers_.Decode(index, integers));
  const uint32_t rows = std::min(kVectorSize, count() - index * kVectorSize);
  std::fill(integers + rows, integers + kVectorSize, 0);
  ConvertAlp(integers, scale, out);
  return PatchExceptions(index, out);
}

template <typename T>
template <typename U>
Status FloatStream<T>::DecodeBits(uint32_t index, U *out) {
  alignas(64) int64_t integers[kVectorSize];
  TSEXT_RETURN_IF_ERROR(integers_.Decode(index, integers));
  const uint32_t rows = std::min(kVectorSize, count() - index * kVectorSize);
  if (static_cast<FloatLayout>(layout_) == FloatLayout::kBits) {
    for (uint32_t i = 0; i < rows; i++) FromSortable(integers[i], out[i]);
    return Status::Ok();
  }
  alignas(64) int64_t low[kVectorSize];
  TSEXT_RETURN_IF_ERROR(low_.Decode(index, low));
  for (uint32_t i = 0; i < rows; i++) {
    const uint64_t bits =
        (static_cast<uint64_t>(integers[i]) << low_width_) | static_cast<uint64_t>(low[i]);
    out[i] = std::bit_cast<U>(static_cast<BitsOfFloat<U>>(bits));
  }
  return Status::Ok();
}

template <typename T>
template <typename U>
Status FloatStream<T>::DecodeAs(uint32_t index, U *out) {
  return static_cast<FloatLayout>(layout_) == FloatLayout::kAlp ? DecodeAlp(index, out)
                                                                : DecodeBits(index, out);
}

template <typename T>
Status FloatStream<T>::Decode(uint32_t index, T *out) {
  if (size_t{index} * kVectorSize >= count())
    return Status::Invalid("a float stream has no such vector");
  if (static_cast<FloatLayout>(layout_) == FloatLayout::kDictionary)
    return DecodeDictionary(index, out);
  if (!narrow_) return DecodeAs(index, out);
  alignas(64) float floats[kVectorSize];
  TSEXT_RETURN_IF_ERROR(DecodeAs(index, floats));
  const uint32_t rows = std::min(kVectorSize, count() - index * kVectorSize);
  for (uint32_t i = 0; i < rows; i++) out[i] = static_cast<T>(floats[i]);
  return Status::Ok();
}

template <typename T>
const char *FloatStream<T>::EncodingName() const noexcept {
  const std::string_view inner = integers_.EncodingName();
  const bool split = static_cast<FloatLayout>(layout_) == FloatLayout::kSplit;
  if (!split && (inner == "constant" || inner.starts_with("dictionary")))
    return integers_.EncodingName();
  const bool zstd = inner.ends_with("+zstd");
  switch (static_cast<FloatLayout>(layout_)) {
    case FloatLayout::kAlp:
      return zstd ? "alp+zstd" : "alp";
    case FloatLayout::kBits:
      return zstd ? "bits+zstd" : "bits";
    case FloatLayout::kSplit:
      return zstd ? "split+zstd" : "split";
    case FloatLayout::kDictionary:
      return zstd ? "dictionary+zstd" : "dictionary";
  }
  return "unknown";
}

template class FloatStream<double>;
template class FloatStream<float>;

}  // namespace tsext
