#include "core/codec/bit_stream.hpp"

namespace tsext {

void AppendBits(ByteBuffer &out, std::span<const uint64_t> values, unsigned width) {
  const size_t begin = out.size();
  out.resize(begin + BitsSize(values.size(), width));
  std::byte *to = out.data() + begin;
  unsigned __int128 pending = 0;
  unsigned pending_bits = 0;
  for (const uint64_t value : values) {
    pending |= static_cast<unsigned __int128>(value) << pending_bits;
    pending_bits += width;
    for (; pending_bits >= 8; pending_bits -= 8) {
      *to++ = static_cast<std::byte>(pending & 0xFF);
      pending >>= 8;
    }
  }
  if (pending_bits > 0) *to = static_cast<std::byte>(pending & 0xFF);
}

uint64_t ReadBits(ByteSpan bits, size_t index, unsigned width) noexcept {
  if (width == 0) return 0;
  const size_t first_bit = index * width;
  const size_t first_byte = first_bit / 8;
  const unsigned shift = static_cast<unsigned>(first_bit % 8);
  uint64_t value;
  const size_t left = bits.size() - first_byte;
  if (left >= sizeof value) {
    value = LoadUnaligned<uint64_t>(bits.data() + first_byte) >> shift;
    if (shift + width > 64) {
      value |= static_cast<uint64_t>(bits[first_byte + 8]) << (64 - shift);
    }
  } else {
    value = 0;
    std::memcpy(&value, bits.data() + first_byte, left);
    value >>= shift;
  }
  return value & LowBits(width);
}

void ReadAllBits(ByteSpan bits, size_t count, unsigned width, uint64_t *out) noexcept {
  constexpr unsigned kMaxShift = 7;
  if (width + kMaxShift > 64) {
    for (size_t i = 0; i < count; i++) out[i] = ReadBits(bits, i, width);
    return;
  }
  const uint64_t mask = LowBits(width);
  uint64_t last = 0;  // the last bytes, a word of them if there is one
  size_t last_byte = 0;
  size_t i = 0;
  if (bits.size() < sizeof last) {
    if (!bits.empty()) std::memcpy(&last, bits.data(), bits.size());
  } else {
    last_byte = bits.size() - sizeof last;
    last = LoadUnaligned<uint64_t>(bits.data() + last_byte);
    size_t bit = 0;
    for (; i < count && bit / 8 < last_byte; i++, bit += width)
      out[i] = LoadUnaligned<uint64_t>(bits.data() + bit / 8) >> (bit % 8) & mask;
  }
  for (; i < count; i++) out[i] = last >> (i * width - last_byte * 8) & mask;
}

PositionForm ChoosePositionForm(std::span<const uint16_t> positions, uint32_t rows,
                                size_t &size) noexcept {
  size_t gap_bytes = 0;
  uint32_t next = 0;
  for (const uint16_t position : positions) {
    gap_bytes += (position - next) / 255 + 1;
    next = position + 1U;
  }
  const size_t bitmap_bytes = (rows + 7) / 8;
  size = gap_bytes <= bitmap_bytes ? gap_bytes : bitmap_bytes;
  return gap_bytes <= bitmap_bytes ? PositionForm::kGaps : PositionForm::kBitmap;
}

void AppendPositions(ByteBuffer &out, std::span<const uint16_t> positions, uint32_t rows,
                     PositionForm form) {
  if (form == PositionForm::kBitmap) {
    const size_t begin = out.size();
    out.resize(begin + (rows + 7) / 8);
    for (const uint16_t position : positions)
      out[begin + position / 8] |= static_cast<std::byte>(1U << (position % 8));
    return;
  }
  uint32_t next = 0;
  for (const uint16_t position : positions) {
    uint32_t gap = position - next;
    for (; gap >= 255; gap -= 255) out.push_back(std::byte{255});
    out.push_back(static_cast<std::byte>(gap));
    next = position + 1U;
  }
}

bool ReadPositions(ByteReader &reader, PositionForm form, uint32_t rows,
                   std::span<uint16_t> positions) noexcept {
  size_t found = 0;
  if (form == PositionForm::kBitmap) {
    ByteSpan bitmap;
    if (!reader.ReadBytes((rows + 7) / 8, bitmap)) return false;
    for (uint32_t byte = 0; byte < bitmap.size(); byte++) {
      for (unsigned left = static_cast<unsigned>(bitmap[byte]); left != 0; left &= left - 1) {
        const uint32_t position = byte * 8 + static_cast<uint32_t>(std::countr_zero(left));
        if (position >= rows || found == positions.size()) return false;
        positions[found++] = static_cast<uint16_t>(position);
      }
    }
    return found == positions.size();
  }
  // Mostly a byte each: read all at once, checked afterwards.
  ByteReader fast = reader;
  ByteSpan gaps;
  if (fast.ReadBytes(positions.size(), gaps)) {
    uint32_t next = 0;
    bool skips = false;
    for (size_t i = 0; i < gaps.size(); i++) {
      const auto gap = static_cast<uint32_t>(gaps[i]);
      skips |= gap == 255;
      next += gap;
      positions[i] = static_cast<uint16_t>(next++);
    }
    if (!skips) {
      reader = fast;
      return next <= rows;
    }
  }
  uint32_t next = 0;
  while (found < positions.size()) {
    uint8_t gap;
    if (!reader.Read(gap)) return false;
    next += gap;
    if (gap == 255) continue;
    if (next >= rows) return false;
    positions[found++] = static_cast<uint16_t>(next++);
  }
  return true;
}

}  // namespace tsext
