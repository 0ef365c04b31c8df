// PostgreSQL's on-disk numeric, after the varlena header, little-endian:
//   short form  u16 header: 10 | sign | display scale (6 bits) | weight (7 bits, two's complement)
//   long form   u16 header: sign (00 plus, 01 minus) | display scale (14 bits); i16 weight
//   special     u16 header: 0xC000 NaN, 0xD000 Infinity, 0xF000 -Infinity
//   then i16 digits in base 10000, first digit worth 10000^weight, no zero digit at either end;
//   zero has no digits, weight 0 and no sign. The short form is used whenever it fits.

#include "core/codec/numeric_codec.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

namespace tsext {

namespace {

constexpr uint32_t kMaxScale = 0x3FFF;
constexpr uint32_t kIsUniform = 1;

constexpr uint16_t kFormMask = 0xC000, kNegativeLong = 0x4000, kShort = 0x8000, kSpecial = 0xC000;
constexpr uint16_t kNegativeShort = 0x2000;
constexpr uint16_t kNan = 0xC000, kInfinity = 0xD000, kNegativeInfinity = 0xF000;
constexpr int64_t kNanScale = 16384, kInfinityScale = 16385, kNegativeInfinityScale = 16386;

constexpr int kBase = 10000;
constexpr int kDigitsOfBase = 4;
/// Header of four bytes and at most seven digits: an int64 has 19 decimal digits, aligning them to
/// base 10000 makes them 22, which touch at most six; one more for safety.
constexpr uint32_t kMaxEncodedSize = 4 + 7 * 2;
constexpr int kMaxDigits = 7;

constexpr auto kPowersOfTen = [] {
  std::array<uint64_t, 20> powers{1};
  for (size_t i = 1; i < powers.size(); i++) powers[i] = powers[i - 1] * 10;
  return powers;
}();

struct Header {
  int64_t display_scale = 0;  // or one of the special values above
  int weight = 0;
  bool is_negative = false;
  uint32_t size = 2;  // bytes before the digits
};

std::optional<Header> ReadHeader(ByteView value) noexcept {
  if (value.size < 2 || value.size % 2 != 0) return std::nullopt;
  const uint16_t word = LoadUnaligned<uint16_t>(value.data);
  Header header;
  switch (word & kFormMask) {
    case kSpecial:
      if (value.size != 2) return std::nullopt;
      if (word == kNan)
        header.display_scale = kNanScale;
      else if (word == kInfinity)
        header.display_scale = kInfinityScale;
      else if (word == kNegativeInfinity)
        header.display_scale = kNegativeInfinityScale;
      else
        return std::nullopt;
      return header;
    case kShort:
      header.display_scale = (word >> 7) & 0x3F;
      header.weight = (word & 0x3F) - ((word & 0x40) != 0 ? 64 : 0);
      header.is_negative = (word & kNegativeShort) != 0;
      return header;
    default:
      if (value.size < 4) return std::nullopt;
      header.display_scale = word & kMaxScale;
      header.weight = LoadUnaligned<int16_t>(value.data + 2);
      header.is_negative = (word & kFormMask) == kNegativeLong;
      header.size = 4;
      return header;
  }
}

/// value * 10^scale, if that is an integer of at most 63 bits.
std::optional<int64_t> Unscale(ByteView value, const Header &header, uint32_t scale) noexcept {
  const int digits = static_cast<int>((value.size - header.size) / 2);
  if (digits == 0) return 0;
  if (digits > kMaxDigits) return std::nullopt;
  unsigned __int128 magnitude = 0;
  for (int i = 0; i < digits; i++) {
    const int16_t digit = LoadUnaligned<int16_t>(value.data + header.size + 2 * i);
    if (digit < 0 || digit >= kBase) return std::nullopt;
    magnitude = magnitude * kBase + static_cast<unsigned>(digit);
  }
  const int shift =
      static_cast<int>(scale) + kDigitsOfBase * (header.weight - digits + 1);  // power of ten
  if (shift > 18 || shift < 1 - kDigitsOfBase) return std::nullopt;
  if (shift >= 0) {
    if (magnitude > INT64_MAX) return std::nullopt;
    magnitude *= kPowersOfTen[static_cast<size_t>(shift)];
  } else {
    const uint64_t divisor = kPowersOfTen[static_cast<size_t>(-shift)];
    if (magnitude % divisor != 0) return std::nullopt;
    magnitude /= divisor;
  }
  if (magnitude > INT64_MAX) return std::nullopt;
  const int64_t integer = static_cast<int64_t>(magnitude);
  return header.is_negative ? -integer : integer;
}

uint32_t StoreU16(std::byte *out, uint16_t value) noexcept {
  std::memcpy(out, &value, sizeof value);
  return sizeof value;
}

/// Writes the numeric unscaled / 10^scale with a display scale to `out`, which has room for
/// kMaxEncodedSize bytes. Returns its size.
uint32_t Format(int64_t unscaled, uint32_t scale, uint32_t display_scale, std::byte *out) noexcept {
  const uint32_t padding =
      (static_cast<uint32_t>(kDigitsOfBase) - scale % kDigitsOfBase) % kDigitsOfBase;
  const bool is_negative = unscaled < 0;
  const uint64_t absolute =
      is_negative ? uint64_t{0} - static_cast<uint64_t>(unscaled) : static_cast<uint64_t>(unscaled);
  unsigned __int128 magnitude = static_cast<unsigned __int128>(absolute) * kPowersOfTen[padding];

  // Digits from the lowest upwards; the lowest has weight `lowest`.
  int16_t digits[kMaxDigits];
  int count = 0;
  int lowest = -static_cast<int>((scale + padding) / kDigitsOfBase);
  while (magnitude > UINT64_MAX) {
    digits[count++] = static_cast<int16_t>(magnitude % kBase);
    magnitude /= kBase;
  }
  for (uint64_t rest = static_cast<uint64_t>(magnitude); rest != 0; rest /= kBase)
    digits[count++] = static_cast<int16_t>(rest % kBase);
  int first = 0;
  while (first < count && digits[first] == 0) first++;
  const int weight = count == 0 ? 0 : lowest + count - 1;

  uint32_t size;
  if (display_scale <= 63 && weight >= -64 && weight <= 63) {
    size = StoreU16(out, static_cast<uint16_t>(kShort | (is_negative ? kNegativeShort : 0) |
                                               (display_scale << 7) | (weight & 0x7F)));
  } else {
    size = StoreU16(out, static_cast<uint16_t>((is_negative ? kNegativeLong : 0) | display_scale));
    size += StoreU16(out + size, static_cast<uint16_t>(weight));
  }
  for (int i = count - 1; i >= first; i--)
    size += StoreU16(out + size, static_cast<uint16_t>(digits[i]));
  return size;
}

}  // namespace

bool EncodeNumerics(std::span<const ByteView> values, Level level, ByteBuffer &out) {
  std::pmr::vector<int64_t> scales(out.get_allocator());
  std::pmr::vector<int64_t> integers(out.get_allocator());
  scales.reserve(values.size());
  integers.reserve(values.size());

  int64_t scale = 0;
  for (const ByteView &value : values) {
    const std::optional<Header> header = ReadHeader(value);
    if (!header) return false;
    scales.push_back(header->display_scale);
    if (header->display_scale <= kMaxScale) scale = std::max(scale, header->display_scale);
  }

  const uint32_t common = static_cast<uint32_t>(scale);
  bool is_uniform = true;
  int64_t previous = 0;
  std::byte again[kMaxEncodedSize];
  for (size_t i = 0; i < values.size(); i++) {
    is_uniform = is_uniform && scales[i] == scale;
    if (scales[i] <= kMaxScale) {
      const std::optional<int64_t> unscaled = Unscale(values[i], *ReadHeader(values[i]), common);
      if (!unscaled) return false;
      const uint32_t size = Format(*unscaled, common, static_cast<uint32_t>(scales[i]), again);
      if (size != values[i].size || std::memcmp(again, values[i].data, size) != 0) return false;
      previous = *unscaled;
    }
    integers.push_back(previous);
  }

  AlignBuffer(out, 8);
  Append(out, static_cast<uint16_t>(scale));
  Append(out, static_cast<uint16_t>(is_uniform ? kIsUniform : 0));
  Append(out, uint32_t{0});
  if (!is_uniform) AppendIntegerStream(scales, level, out);
  AppendIntegerStream(integers, level, out);
  return true;
}

NumericStream::NumericStream(std::pmr::memory_resource *memory)
    : display_scales_(memory), unscaled_(memory) {}

Status NumericStream::Open(ByteSpan bytes, uint32_t count) {
  count_ = count;
  ByteReader reader(bytes);
  uint16_t scale = 0, flags = 0;
  uint32_t zero = 0;
  if (!reader.Read(scale) || !reader.Read(flags) || !reader.Read(zero))
    return Status::Corrupt("a stream of numerics is too short");
  if (scale > kMaxScale) return Status::Corrupt("a numeric scale is out of range");
  if (flags > kIsUniform || zero != 0)
    return Status::Unsupported("a stream of numerics has unknown flags");
  scale_ = scale;
  is_uniform_ = flags == kIsUniform;
  ByteSpan display_scales, unscaled;
  if ((!is_uniform_ && !ReadNestedStream(reader, display_scales)) ||
      !ReadNestedStream(reader, unscaled) || reader.remaining() != 0)
    return Status::Corrupt("the parts of a stream of numerics do not fill it");
  if (!is_uniform_) TSEXT_RETURN_IF_ERROR(display_scales_.Open(display_scales, count));
  return unscaled_.Open(unscaled, count);
}

Status NumericStream::ArenaSize(uint32_t index, uint64_t &size) {
  size = uint64_t{ValuesInVector(index, count_)} * kMaxEncodedSize;
  return Status::Ok();
}

Status NumericStream::Decode(uint32_t index, ByteView *out, std::byte *arena) {
  TSEXT_RETURN_IF_ERROR(unscaled_.Decode(index, integers_.data()));
  if (!is_uniform_) TSEXT_RETURN_IF_ERROR(display_scales_.Decode(index, scales_.data()));
  for (uint32_t i = 0; i < ValuesInVector(index, count_); i++) {
    const int64_t display_scale = is_uniform_ ? scale_ : scales_[i];
    uint32_t size;
    if (display_scale >= 0 && display_scale <= scale_)
      size = Format(integers_[i], scale_, static_cast<uint32_t>(display_scale), arena);
    else if (display_scale == kNanScale)
      size = StoreU16(arena, kNan);
    else if (display_scale == kInfinityScale)
      size = StoreU16(arena, kInfinity);
    else if (display_scale == kNegativeInfinityScale)
      size = StoreU16(arena, kNegativeInfinity);
    else
      return Status::Corrupt("a display scale is out of range");
    out[i] = {arena, size};
    arena += size;
  }
  return Status::Ok();
}

const char *NumericStream::EncodingName() const noexcept {
  return "numeric";
}

}  // namespace tsext
