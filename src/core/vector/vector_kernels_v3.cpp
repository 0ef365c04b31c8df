// The vector kernels for x86-64-v3; the build gives this file its -march.
#define TSEXT_VECTOR_KERNELS kVectorKernelsV3
#include "core/vector/vector_kernels.inc"
