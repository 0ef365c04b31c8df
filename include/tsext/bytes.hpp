#pragma once

// Little-endian reading and writing of byte sequences. Readers never leave their span, whatever the
// bytes say.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <span>
#include <type_traits>
#include <vector>

namespace tsext {

static_assert(std::endian::native == std::endian::little,
              "the format is little-endian and read in place");

using ByteSpan = std::span<const std::byte>;
using ByteBuffer = std::pmr::vector<std::byte>;

template <typename T>
concept Scalar = std::is_arithmetic_v<T> || std::is_enum_v<T>;

/// Unaligned load; the caller has checked that sizeof(T) bytes are there.
template <Scalar T>
T LoadUnaligned(const std::byte *from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <Scalar T>
void Append(ByteBuffer &out, T value) {
  const size_t at = out.size();
  out.resize(at + sizeof value);
  std::memcpy(out.data() + at, &value, sizeof value);
}

inline void AppendBytes(ByteBuffer &out, ByteSpan bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

/// Pads with zeros to a multiple of `alignment` counted from the buffer's start.
inline void AlignBuffer(ByteBuffer &out, size_t alignment) {
  out.resize((out.size() + alignment - 1) / alignment * alignment);
}

/// Cursor over hostile bytes: every read says whether it was possible and leaves the target
/// untouched if not.
class ByteReader {
 public:
  explicit ByteReader(ByteSpan bytes) noexcept : bytes_(bytes) {}

  template <Scalar T>
  [[nodiscard]] bool Read(T &value) noexcept {
    if (bytes_.size() - at_ < sizeof value) return false;
    value = LoadUnaligned<T>(bytes_.data() + at_);
    at_ += sizeof value;
    return true;
  }
  [[nodiscard]] bool ReadBytes(size_t size, ByteSpan &out) noexcept {
    if (bytes_.size() - at_ < size) return false;
    out = bytes_.subspan(at_, size);
    at_ += size;
    return true;
  }
  [[nodiscard]] bool Skip(size_t size) noexcept {
    if (bytes_.size() - at_ < size) return false;
    at_ += size;
    return true;
  }
  size_t remaining() const noexcept { return bytes_.size() - at_; }
  size_t position() const noexcept { return at_; }

 private:
  ByteSpan bytes_;
  size_t at_ = 0;
};

}  // namespace tsext
