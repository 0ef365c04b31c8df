// The kernels for x86-64-v1; the build gives this file its -march.
#define TSEXT_KERNEL_TABLE kKernelsV1
#include "core/codec/kernels.inc"
