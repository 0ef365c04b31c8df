#include "core/codec/zstd_frame.hpp"

#include <zstd.h>

#include <new>

namespace tsext {

namespace {
// Making a context costs more than a small frame does. Plain pointers: no destructor at exit.
thread_local ZSTD_CCtx *compressor = nullptr;
thread_local ZSTD_DCtx *decompressor = nullptr;
}  // namespace

size_t AppendZstdFrame(ByteBuffer &out, ByteSpan bytes, int zstd_level) {
  if (compressor == nullptr) compressor = ZSTD_createCCtx();
  if (compressor == nullptr) return 0;
  const size_t begin = out.size();
  out.resize(begin + ZSTD_compressBound(bytes.size()));
  const size_t size = ZSTD_compressCCtx(compressor, out.data() + begin, out.size() - begin,
                                        bytes.data(), bytes.size(), zstd_level);
  const bool failed = ZSTD_isError(size) != 0;
  out.resize(begin + (failed ? 0 : size));
  return failed ? 0 : size;
}

bool ReadZstdFrame(ByteSpan frame, std::span<std::byte> out) {
  if (decompressor == nullptr) decompressor = ZSTD_createDCtx();
  if (decompressor == nullptr) throw std::bad_alloc();
  const size_t size =
      ZSTD_decompressDCtx(decompressor, out.data(), out.size(), frame.data(), frame.size());
  return ZSTD_isError(size) == 0 && size == out.size();
}

}  // namespace tsext
