#include "tsext/kernels.hpp"

#include "core/codec/kernel_table.hpp"

namespace tsext {

namespace {
SimdLevel current_level = SimdLevel::kAuto;  // kAuto: not chosen yet
}

SimdLevel DetectSimdLevel() noexcept {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512cd")) {
    return SimdLevel::kV4;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
      __builtin_cpu_supports("fma"))
    return SimdLevel::kV3;
  return SimdLevel::kV1;
}

SimdLevel SetSimdLevel(SimdLevel level) noexcept {
  const SimdLevel best = DetectSimdLevel();
  current_level = level == SimdLevel::kAuto || level > best ? best : level;
  return current_level;
}

SimdLevel CurrentSimdLevel() noexcept {
  return current_level == SimdLevel::kAuto ? SetSimdLevel(SimdLevel::kAuto) : current_level;
}

const KernelTable &Kernels() noexcept {
  switch (CurrentSimdLevel()) {
    case SimdLevel::kV4:
      return kKernelsV4;
    case SimdLevel::kV3:
      return kKernelsV3;
    default:
      return kKernelsV1;
  }
}

}  // namespace tsext
