// The vector kernels for x86-64-v1; the build gives this file its -march.
#define TSEXT_VECTOR_KERNELS kVectorKernelsV1
#include "core/vector/vector_kernels.inc"
