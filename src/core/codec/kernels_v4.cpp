// The kernels for x86-64-v4; the build gives this file its -march.
#define TSEXT_KERNEL_TABLE kKernelsV4
#include "core/codec/kernels.inc"
