// Numerics built from the input: whatever the encoder takes must come back byte by byte.
//
// Input: records of u8 form, u16 header, i16 weight, u8 digit count, u16 digits.

#include <cstdint>
#include <cstdlib>
#include <memory_resource>
#include <string>
#include <vector>

#include "core/codec/interner.hpp"
#include "core/codec/numeric_codec.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  using namespace tsext;
  ByteReader reader(std::as_bytes(std::span(data, size)));
  std::vector<std::string> texts;
  const auto append = [](std::string &text, uint16_t word) {
    text.append(reinterpret_cast<const char *>(&word), sizeof word);
  };
  uint8_t form = 0, digits = 0;
  uint16_t header = 0, weight = 0, digit = 0;
  while (texts.size() < 3000 && reader.Read(form) && reader.Read(header) && reader.Read(weight) &&
         reader.Read(digits)) {
    std::string text;
    if (form % 4 == 0) {  // as given
      append(text, header);
    } else if (form % 4 == 1) {  // short, weights and scales near zero
      append(text, static_cast<uint16_t>(0x8000 | (header & 0x2000) | (header % 12) << 7 |
                                         ((weight % 7 - 3) & 0x7F)));
    } else {  // long
      append(text, static_cast<uint16_t>(header & 0x7FFF));
      append(text, weight);
    }
    for (int i = 0; i < digits % 9 && reader.Read(digit); i++)
      append(text, form % 16 < 12 ? static_cast<uint16_t>(digit % 10000) : digit);
    texts.push_back(std::move(text));
  }
  if (texts.empty()) return 0;
  std::vector<ByteView> values;
  for (const std::string &text : texts)
    values.push_back(
        {reinterpret_cast<const std::byte *>(text.data()), static_cast<uint32_t>(text.size())});

  // One by one (most mixtures do not fit one scale), then together.
  std::pmr::memory_resource *memory = std::pmr::get_default_resource();
  for (size_t begin = 0; begin <= values.size(); begin++) {
    const bool is_last = begin == values.size();
    const std::span<const ByteView> part =
        is_last ? std::span<const ByteView>(values) : std::span<const ByteView>(&values[begin], 1);
    ByteBuffer bytes;
    if (!EncodeNumerics(part, Level::kHot, bytes)) continue;
    NumericStream stream(memory);
    const uint32_t count = static_cast<uint32_t>(part.size());
    if (!stream.Open(bytes, count).ok()) std::abort();
    std::vector<ByteView> views(kVectorSize);
    for (uint32_t v = 0; v < VectorCount(count); v++) {
      uint64_t arena_size = 0;
      if (!stream.ArenaSize(v, arena_size).ok()) std::abort();
      std::vector<std::byte> arena(arena_size);
      if (!stream.Decode(v, views.data(), arena.data()).ok()) std::abort();
      for (uint32_t i = 0; i < ValuesInVector(v, count); i++)
        if (CompareBytes(views[i], part[v * kVectorSize + i]) != 0) std::abort();
    }
  }
  return 0;
}
