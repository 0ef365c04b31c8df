// The vector kernels for x86-64-v4; the build gives this file its -march.
#define TSEXT_VECTOR_KERNELS kVectorKernelsV4
#include "core/vector/vector_kernels.inc"
