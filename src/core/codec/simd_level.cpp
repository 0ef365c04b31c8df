#include "tsext/kernels.hpp"

#include "core/codec/kernel_table.hpp"
#include "core/vector/vector_kernels.hpp"

namespace tsext {

namespace {
SimdLevel current_level = SimdLevel::kAuto;    // kAuto: not chosen yet
const KernelTable *current_kernels = nullptr;  // of that level
}  // namespace

const VectorKernels *current_vector_kernels = nullptr;

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
  switch (current_level) {
    case SimdLevel::kV4:
      current_kernels = &kKernelsV4;
      current_vector_kernels = &kVectorKernelsV4;
      break;
    case SimdLevel::kV3:
      current_kernels = &kKernelsV3;
      current_vector_kernels = &kVectorKernelsV3;
      break;
    default:
      current_kernels = &kKernelsV1;
      current_vector_kernels = &kVectorKernelsV1;
      break;
  }
  return current_level;
}

SimdLevel CurrentSimdLevel() noexcept {
  return current_level == SimdLevel::kAuto ? SetSimdLevel(SimdLevel::kAuto) : current_level;
}

const KernelTable &Kernels() noexcept {
  if (current_kernels == nullptr) SetSimdLevel(SimdLevel::kAuto);
  return *current_kernels;
}

}  // namespace tsext
