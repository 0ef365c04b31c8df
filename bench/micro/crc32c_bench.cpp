// CRC-32C of 64 KiB, by instruction and by table.

#include <benchmark/benchmark.h>

#include <vector>

#include "core/segment/crc32c_detail.hpp"

namespace {

template <typename Function>
void Run(benchmark::State &state, const Function &function) {
  std::vector<std::byte> bytes(65536);
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<std::byte>(i * 131 >> 3);
  if (function(bytes, 0) != tsext::Crc32cByTable(bytes, 0)) {
    state.SkipWithError("wrong checksum");
    return;
  }
  for (auto _ : state) benchmark::DoNotOptimize(function(bytes, 0));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes.size()));
}

void BM_Crc32cByTable(benchmark::State &state) {
  Run(state, tsext::Crc32cByTable);
}
void BM_Crc32cByInstruction(benchmark::State &state) {
  if (!tsext::HasCrc32cInstruction()) {
    state.SkipWithError("the CPU has no crc32 instruction");
    return;
  }
  Run(state, tsext::Crc32cByInstruction);
}

BENCHMARK(BM_Crc32cByTable);
BENCHMARK(BM_Crc32cByInstruction);

}  // namespace
