// The kernels for x86-64-v3; the build gives this file its -march.
#define TSEXT_KERNEL_TABLE kKernelsV3
#include "core/codec/kernels.inc"
